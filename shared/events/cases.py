"""Facts of the cases service (办件)."""

from datetime import date, datetime
from typing import Literal
from uuid import UUID

from shared.events.base import Event
from shared.events.records import RecordsJudged

Channel = Literal["pc", "mobile", "window", "kiosk", "import"]
ApplicantKind = Literal["person", "organisation"]


class CaseEvent(Event, service="cases"):
    """About one case, with all that a reader needs to count it. Never the applicant's name, number or phone.

    `account_id` is the applicant's account where there is one; `immediate` tells 即办件 from 承诺件; `bundle_case_id` is the
    one-thing application (一件事) that the case is a child of.
    """

    case_id: UUID
    number: str
    area_code: str
    department_code: str
    matter_id: UUID | None
    matter_code: str | None
    matter_name: str
    matter_type: str
    immediate: bool
    channel: Channel
    applicant_kind: ApplicantKind
    account_id: UUID | None
    bundle_case_id: UUID | None = None

    @property
    def key(self) -> str:
        return str(self.case_id)


class CaseSubmitted(CaseEvent, fact="case-submitted"):
    """The applicant has applied (申请)."""


class CaseReceived(CaseEvent, fact="case-received"):
    """Materials are in, the acceptance clock of 5 working days runs (收件). `acceptance_due_on` is its last day.

    `license_materials` of the materials that were asked for could be met by a licence, `licenses_used` were (免提交).
    """

    received_on: date
    acceptance_due_on: date
    license_materials: int = 0
    licenses_used: int = 0


class CorrectionRequested(CaseEvent, fact="correction-requested"):
    """Everything missing, told once (补正)."""

    items: int


class CaseAccepted(CaseEvent, fact="case-accepted"):
    """Accepted (受理); `deemed` when the organ was silent for 5 working days (视为受理, from the receipt date).

    `contact` is sealed (`case.contact`: name, phone) for ratings, whose duty is to invite the applicant.
    """

    accepted_on: date
    deemed: bool
    promised_due_on: date | None
    legal_due_on: date | None
    contact: str | None = None


class CaseNotAccepted(CaseEvent, fact="case-not-accepted"):
    """Refused at the door with reasons (不予受理)."""

    reason: str


class CaseSuspended(CaseEvent, fact="case-suspended"):
    """A special procedure runs whose time is not counted (特别程序)."""

    kind: str
    planned_days: int


class CaseResumed(CaseEvent, fact="case-resumed"):
    """The clock runs again, with the due dates moved."""

    promised_due_on: date | None
    legal_due_on: date | None


class CaseExtended(CaseEvent, fact="case-extended"):
    """Extended once, approved by the organ's head (延期)."""

    days: int
    promised_due_on: date | None
    legal_due_on: date | None


class CaseDueChanged(CaseEvent, fact="case-due-changed"):
    """The calendar has changed, and with it the last day of the running clock. `previous_due_on` is what it was."""

    due_on: date
    previous_due_on: date
    legal_due_on: date | None


class CaseDecided(CaseEvent, fact="case-decided"):
    """Decided by a leader. `result`: 0 出证/准予, 1 不予许可, 4 转报. `license_type_code` when a licence is to be issued;

    then `holder` is sealed (`case.holder`: kind, name, id_number, phone) for licenses, whose duty is to issue it.
    """

    result: str
    decided_on: date
    overdue: bool
    license_type_code: str | None
    holder: str | None = None


class CaseClosed(CaseEvent, fact="case-closed"):
    """The case has come to its end, whatever the end (办结, 退件, 不予受理, 撤回). `state` is the final state.

    `contact` as in `CaseAccepted`.
    """

    state: str
    result: str | None
    closed_on: date
    overdue: bool
    contact: str | None = None


class ResultDelivered(CaseEvent, fact="result-delivered"):
    """The result reached the applicant (送达)."""

    method: Literal["window", "post", "online"]
    delivered_on: date


class CaseWithdrawn(CaseEvent, fact="case-withdrawn"):
    """Withdrawn by the applicant before the decision (撤回)."""


class CaseImported(CaseEvent, fact="case-imported"):
    """A finished or running case of a bureau's own system, taken over (办件推送). `contact` as in `CaseAccepted`, if known."""

    source_system: str
    source_number: str
    source_version: int
    state: str
    received_on: date | None
    accepted_on: date | None
    closed_on: date | None
    result: str | None
    overdue: bool
    contact: str | None = None


class CaseLicenseUsed(CaseEvent, fact="case-license-used"):
    """An e-licence met a material of the case instead of an upload (用证): which, authorised by whom, for what.

    `digest` is that of the licence's record when it was used; `operator` who acted, the applicant or a clerk.
    """

    license_id: UUID
    license_type_code: str
    material_code: str
    digest: str
    operator: str
    reason: str


class CaseMaterialLapsed(CaseEvent, fact="case-material-lapsed"):
    """A licence that meets a material of this open case no longer holds: revoked, suspended or expired."""

    license_id: UUID
    material_code: str
    status: str


class LightRaised(CaseEvent, fact="light-raised"):
    """A warning: yellow, red (promise overrun), deep_red (statutory overrun), by rule (红黄灯)."""

    light_id: UUID
    level: Literal["yellow", "red", "deep_red"]
    rule: str
    raised_at: datetime


class LightCleared(CaseEvent, fact="light-cleared"):
    """Answered or no longer true."""

    light_id: UUID
    level: Literal["yellow", "red", "deep_red"]
    rule: str


class ImportFinished(Event, service="cases", fact="import-finished"):
    """One push of a bureau's own system was taken in: how many records landed, were known already, came back."""

    import_id: UUID
    source_system: str
    area_code: str
    department_code: str
    accepted: int
    unchanged: int
    rejected: int

    @property
    def key(self) -> str:
        return str(self.import_id)


class CaseRecordsJudged(RecordsJudged, service="cases", fact="records-judged"):
    """The verdicts on cases that came by batch."""


class CalendarChanged(Event, service="cases", fact="calendar-changed"):
    """Days of the working calendar (工作日历) were set: day → whether it is a working day; others stay as they were."""

    days: dict[date, bool]

    @property
    def key(self) -> str:
        return "calendar"
