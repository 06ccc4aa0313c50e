"""Facts of the cases service (办件)."""

from datetime import date, datetime
from typing import Literal
from uuid import UUID

from shared.domain.guides import MatterKind
from shared.events.base import Event
from shared.events.licenses import Status
from shared.events.records import RecordsJudged

Channel = Literal["pc", "mobile", "window", "kiosk", "import"]
ApplicantKind = Literal["person", "organisation"]
CaseState = Literal[
    "waiting",
    "received",
    "correcting",
    "accepted",
    "suspended",
    "decided",
    "closed",
    "not_accepted",
    "withdrawn",
    "returned",
]
"""办件状态."""
CaseResult = Literal["0", "1", "2", "3", "4", "5", "6"]
"""办结结果: 0 出证/准予, 1 不予许可, 4 转报, 5 退件, 6 不予受理; bureaus also use 2 and 3."""
LightLevel = Literal["yellow", "red", "deep_red"]
"""灯色: yellow before a day, red after the promised one, deep red after the statutory one."""
LightRule = Literal[
    "acceptance",
    "promise",
    "statute",
    "deemed_acceptance",
    "delivery",
    "step_intake",
    "step_review",
    "step_decision",
    "step_delivery",
]
"""The clock whose end the light is about."""


class CaseEvent(Event, service="cases"):
    """About one case, with all that a consumer needs to count it.

    It never holds the applicant's name, number or phone. `account_id` is the applicant's account,
    where there is one. `immediate` tells 即办件 from 承诺件. `bundle_case_id` is the bundle
    (一件事) that the case belongs to.
    """

    case_id: UUID
    number: str
    area_code: str
    department_code: str
    matter_id: UUID | None
    matter_code: str | None
    matter_name: str
    matter_type: MatterKind
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
    """Materials are in and the acceptance clock of 5 working days runs (收件).

    `acceptance_due_on` is its last day. `license_materials` is the number of materials that a
    license could replace, `licenses_used` of those that one did replace (免提交).
    """

    received_on: date
    acceptance_due_on: date
    license_materials: int = 0
    licenses_used: int = 0


class CorrectionRequested(CaseEvent, fact="correction-requested"):
    """The applicant was told, once, everything that is missing (补正)."""

    items: int


class CaseAccepted(CaseEvent, fact="case-accepted"):
    """Accepted (受理); `deemed` when the authority was silent for 5 working days (视为受理).

    `contact` is sealed (`case.contact`: name, phone) for ratings, which invites the applicant.
    """

    accepted_on: date
    deemed: bool
    promised_due_on: date | None
    legal_due_on: date | None
    contact: str | None = None


class CaseNotAccepted(CaseEvent, fact="case-not-accepted"):
    """Not accepted, with reasons (不予受理)."""

    reason: str


class CaseSuspended(CaseEvent, fact="case-suspended"):
    """A special procedure runs, whose time is not counted (特别程序)."""

    kind: str
    planned_days: int


class CaseResumed(CaseEvent, fact="case-resumed"):
    """The clock runs again, with the due dates moved."""

    promised_due_on: date | None
    legal_due_on: date | None


class CaseExtended(CaseEvent, fact="case-extended"):
    """Extended once, with the approval of the head of the authority (延期)."""

    days: int
    promised_due_on: date | None
    legal_due_on: date | None


class CaseDueChanged(CaseEvent, fact="case-due-changed"):
    """The working calendar has changed, and with it the last day of the running clock."""

    due_on: date
    previous_due_on: date
    legal_due_on: date | None


class CaseDecided(CaseEvent, fact="case-decided"):
    """Decided by a leader.

    `license_type_code` is set when a license is to be issued. Then `holder` is sealed
    (`case.holder`: kind, name, id_number, phone) for licenses, which issues it.
    """

    result: CaseResult
    decided_on: date
    overdue: bool
    license_type_code: str | None
    holder: str | None = None


class CaseClosed(CaseEvent, fact="case-closed"):
    """The case has ended (办结, 退件, 不予受理, 撤回). `state` is the final state.

    `contact` as in `CaseAccepted`.
    """

    state: CaseState
    result: CaseResult | None
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
    """A finished or running case of a bureau's own system was taken over (办件推送).

    `contact` as in `CaseAccepted`, where it is known.
    """

    source_system: str
    source_number: str
    source_version: int
    state: CaseState
    received_on: date | None
    accepted_on: date | None
    closed_on: date | None
    result: CaseResult | None
    overdue: bool
    contact: str | None = None


class CaseLicenseUsed(CaseEvent, fact="case-license-used"):
    """An e-license replaced a material of the case (用证).

    `digest` is that of the license's record when it was used; `operator` is the account that acted,
    the applicant's or a clerk's.
    """

    license_id: UUID
    license_type_code: str
    material_code: str
    digest: str
    operator: str
    reason: str


class CaseMaterialLapsed(CaseEvent, fact="case-material-lapsed"):
    """A license that replaces a material of this open case is no longer valid."""

    license_id: UUID
    material_code: str
    status: Status


class LightRaised(CaseEvent, fact="light-raised"):
    """A warning was raised (红黄灯)."""

    light_id: UUID
    level: LightLevel
    rule: LightRule
    raised_at: datetime


class LightCleared(CaseEvent, fact="light-cleared"):
    """The department has answered the warning, or its rule is no longer true."""

    light_id: UUID
    level: LightLevel
    rule: LightRule


class ImportFinished(Event, service="cases", fact="import-finished"):
    """One push of a bureau's own system was taken over; the numbers are of records."""

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
    """Days of the working calendar (工作日历) were set; other days stay as they were.

    `days`: day → whether it is a working day.
    """

    days: dict[date, bool]

    @property
    def key(self) -> str:
        return "calendar"
