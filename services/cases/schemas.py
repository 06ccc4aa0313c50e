"""Commands and answers of cases."""

from datetime import date, datetime
from functools import lru_cache
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from shared import clock, codes
from shared.fields import CLEAN, Line, Prose, Reason
from shared.guides import Code

Phone = Annotated[str, Field(max_length=20), AfterValidator(codes.check_phone)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Applicant(Strict):
    """Who applies: a person with an ID number, or an organisation with its USCC."""

    kind: Literal["person", "organisation"] = "person"
    name: Line
    id_number: Annotated[str, Field(max_length=18), CLEAN]
    phone: Phone

    @field_validator("id_number")
    @classmethod
    def _number_fits(cls, value: str, known: ValidationInfo) -> str:
        if known.data.get("kind") == "organisation":
            return codes.check_uscc(value)
        return codes.check_id_number(value, clock.local_date(clock.now()))


class UploadedMaterial(Strict):
    """An upload of the caller's meets the material."""

    kind: Literal["upload"] = "upload"
    code: Code
    upload_id: UUID


class EarlierMaterial(Strict):
    """A material of an earlier case of the same applicant meets it; `earlier_code` is its code there (default: the same)."""

    kind: Literal["earlier_case"]
    code: Code
    earlier_case_id: UUID
    earlier_code: Code | None = None


class PromisedMaterial(Strict):
    """容缺: the applicant promises to bring it by the limit; only where the guide allows it (necessity 3)."""

    kind: Literal["promise"]
    code: Code


class LicensedMaterial(Strict):
    """免提交: an e-licence of the applicant meets it.

    `consent`: the applicant agrees; whoever acts for her, an agent or a window clerk, records it.
    """

    kind: Literal["license"]
    code: Code
    license_id: UUID
    consent: bool = False


def _kind(value: Any) -> str:
    """An upload where no kind is named."""
    kind = value.get("kind", "upload") if isinstance(value, dict) else getattr(value, "kind", "upload")
    return str(kind)


GivenMaterial = Annotated[
    Annotated[UploadedMaterial, Tag("upload")]
    | Annotated[EarlierMaterial, Tag("earlier_case")]
    | Annotated[PromisedMaterial, Tag("promise")]
    | Annotated[LicensedMaterial, Tag("license")],
    Discriminator(_kind),
]
"""What meets a material of the personal guide; further sources are further kinds."""
Materials = Annotated[list[GivenMaterial], Field(max_length=300)]


class Guided(Strict):
    """The personal guide that the applicant was shown (its digest proves it)."""

    matter_id: UUID
    matter_version: int = Field(ge=1, le=2**31 - 1)
    answers: dict[Code, Code] = Field(default={}, max_length=200)
    guide_digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class Apply(Guided):
    """An application under a personal guide."""

    applicant: Applicant
    materials: Materials = []
    channel: Literal["pc", "mobile", "window", "kiosk"] = "pc"


class MatchLicenses(Guided):
    """Which of the caller's licences meet materials of the guide; with `id_number` (or USCC) those of this applicant alone."""

    id_number: Annotated[str, Field(min_length=1, max_length=18), CLEAN] | None = None


class UsableLicense(BaseModel):
    """A licence that may meet a material; the number masked where its holder is a person."""

    model_config = ConfigDict(from_attributes=True)

    license_id: UUID
    type_name: dict[str, str]
    number: str
    trust: str
    valid_until: date | None


class LicenseMatch(BaseModel):
    """A material of the guide that a licence can meet, and the caller's licences that do."""

    material_code: str
    material_name: dict[str, str | None]
    license_type_code: str
    licenses: list[UsableLicense]


class RefuseAcceptance(Strict):
    reasons: Reason


class MissingItem(Strict):
    """One gap: a material of the guide, or words."""

    material_code: Code | None = None
    text: Line


class RequestCorrection(Strict):
    items: list[MissingItem] = Field(min_length=1, max_length=100)


class Correct(Strict):
    materials: Materials = Field(min_length=1)


class Review(Strict):
    opinion: Literal["agree", "disagree"]
    text: Prose


SpecialKind = Literal["听证", "招标", "拍卖", "检验", "检测", "检疫", "鉴定", "专家评审"]
"""特别程序 whose time is not counted: the law's own list (art. 45)."""


class SuspendCase(Strict):
    """A special procedure, and the working days it is planned to take."""

    kind: SpecialKind
    planned_days: int = Field(ge=1, le=365)
    reason: Reason


class ExtendTime(Strict):
    """延期 in working days."""

    days: int = Field(ge=1, le=90)
    reasons: Reason


class AnswerLight(Strict):
    """Why the light went on, and what is done about it."""

    text: Reason


class Decide(Strict):
    """办结结果: 0 准予, 1 不予许可 (with reasons)."""

    result: Literal["0", "1"]
    reasons: Annotated[Reason | None, Field(validate_default=True)] = None

    @field_validator("reasons")
    @classmethod
    def _refusal_has_reasons(cls, value: str | None, known: ValidationInfo) -> str | None:
        if known.data.get("result") == "1" and not value:
            raise ValueError("a refusal states its reasons")
        return value


class Deliver(Strict):
    method: Literal["window", "post", "online"]
    tracking_number: Annotated[str, Field(pattern=r"^[0-9A-Za-z-]{5,40}$")] | None = None


class Track(Strict):
    number: Annotated[str, Field(pattern=r"^[0-9A-Z]{20,50}$")]
    phone_last4: Annotated[str, Field(pattern=r"^[0-9]{4}$")]


class CaseRead(BaseModel):
    """A case; names and numbers masked unless the reader is the applicant."""

    id: UUID
    number: str
    revision: int
    state: str
    matter_id: UUID
    matter_name: str
    area_code: str
    department_code: str
    immediate: bool
    channel: str
    applicant_kind: str
    applicant_name: str
    applicant_id_number: str
    phone: str
    guide_digest: str
    materials: list[dict[str, Any]]
    missing: list[dict[str, Any]]
    received_at: datetime
    accepted_on: date | None
    due_on: date
    legal_due_on: date | None
    step_due_on: date | None
    gap_due_on: date | None
    deemed: bool
    suspension: str | None
    suspended_on: date | None
    extended_days: int
    result: str | None
    reasons: str | None
    overdue: bool
    provisional_due: bool


class CaseSummary(BaseModel):
    """A case in a list."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    number: str
    revision: int
    state: str
    matter_name: str
    due_on: date
    received_at: datetime
    overdue: bool


class StepRead(BaseModel):
    """One step, by role, never by name; `agent_id` is the account that acted for the applicant (授权代办)."""

    model_config = ConfigDict(from_attributes=True)

    act: str
    role: str
    agent_id: str | None
    note: str | None
    at: datetime


class LightRead(BaseModel):
    """A light over a case; `due_on` is the day it is measured by."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    revision: int
    case_id: UUID
    number: str
    matter_name: str
    area_code: str
    department_code: str
    rule: str
    level: str
    due_on: date
    raised_at: datetime
    answer: str | None
    answered_by: str | None
    answered_at: datetime | None
    cleared_at: datetime | None


class Tracked(BaseModel):
    """What number and phone show without signing in."""

    number: str
    state: str
    matter_name: str
    due_on: date


class UploadRead(BaseModel):
    """A stored file."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    digest: str
    media_type: str
    size: int


SourceNumber = Annotated[str, Field(pattern=r"^[0-9A-Za-z_./-]{1,60}$")]


class Contact(Strict):
    """Whom ratings may ask for a judgement."""

    name: Line
    phone: Phone


@lru_cache(maxsize=10_000)
def _checked_matter_code(value: str) -> str:
    """A bureau's cases are of a few matters, and the check of a code costs more than all else of a record."""
    return codes.check_implementing_code(value) if codes.claims_to_be_national(value) else value


class PushedCase(Strict):
    """One case of a bureau's own system. Personal data stays there, but for whom to ask for a rating (`contact`) where the

    system cannot do it itself (专网); it is passed on sealed and not kept.
    """

    source_number: SourceNumber
    version: int = Field(ge=1, le=2**31 - 1)
    matter_code: Annotated[str, Field(min_length=1, max_length=80), CLEAN]
    matter_name: Line
    matter_type: codes.MatterType
    immediate: bool = False
    applicant_kind: Literal["person", "organisation"]
    state: Literal["received", "accepted", "closed"]
    received_on: date
    accepted_on: date | None = None
    closed_on: Annotated[date | None, Field(validate_default=True)] = None
    result: Annotated[Literal["0", "1", "2", "3", "4", "5", "6"] | None, Field(validate_default=True)] = None
    overdue: bool = False
    contact: Contact | None = None

    @field_validator("matter_code")
    @classmethod
    def _national_codes_hold(cls, value: str) -> str:
        return _checked_matter_code(value)

    @field_validator("accepted_on", "closed_on")
    @classmethod
    def _follows_what_came_before(cls, value: date | None, known: ValidationInfo) -> date | None:
        before = [known.data[name] for name in ("received_on", "accepted_on") if known.data.get(name) is not None]
        if value is not None and before and value < max(before):
            raise ValueError(f"must not lie before {max(before)}")
        return value

    @field_validator("closed_on", "result")
    @classmethod
    def _is_there_when_closed(cls, value: Any, known: ValidationInfo) -> Any:
        if known.data.get("state") == "closed" and value is None:
            raise ValueError("a closed case has it")
        return value


class PushCases(Strict):
    """A push of up to 5,000 cases; each record is judged by itself."""

    source_system: Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{2,40}$")]
    records: list[dict[str, Any]] = Field(min_length=1, max_length=5000)


class Rejection(BaseModel):
    """Why a record came back."""

    row: int
    field: str
    rule: str
    message: str


class Pushed(BaseModel):
    """What became of a push; `rejections` names row, field and rule."""

    received: int
    accepted: int
    unchanged: int
    rejected: int
    rejections: list[Rejection]


class CalendarDayEntry(Strict):
    """A day that differs from Monday to Friday, or is set back to them."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)

    day: Annotated[date, Field(ge=date(2000, 1, 1), le=date(2100, 12, 31))]
    is_working: bool
    note: Line


class ChangeDays(Strict):
    """Days of the calendar as the city has announced them; days not named stay as they are."""

    days: list[CalendarDayEntry] = Field(min_length=1, max_length=400)

    @model_validator(mode="after")
    def _each_once(self) -> "ChangeDays":
        if len({day.day for day in self.days}) < len(self.days):
            raise ValueError("each day is named once")
        return self


class CalendarRead(BaseModel):
    """The days of a year that differ from Monday to Friday; `announced` when the year has any."""

    year: int
    announced: bool
    days: list[CalendarDayEntry]


class MovedCases(BaseModel):
    """How many open cases of a department have got another due date."""

    area_code: str
    department_code: str
    cases: int


class CalendarChangeRead(BaseModel):
    """A change of the calendar and what followed from it; `finished` when every open case has been looked at."""

    id: UUID | None
    changed_days: int
    finished: bool
    moved: int
    departments: list[MovedCases]


class TimerRun(Strict):
    """Run the timers as if it were then (development and demonstrations)."""

    as_of: datetime


class TimerRan(BaseModel):
    """What the timers did."""

    model_config = ConfigDict(from_attributes=True)

    deemed_accepted: int
    lights_raised: int
    lights_cleared: int
