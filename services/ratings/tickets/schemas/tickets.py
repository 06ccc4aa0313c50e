"""Commands and answers of tickets."""

import re
from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from shared.fields import CLEAN, Prose, Reason

LONG_NUMBER = re.compile(r"(?:\d[ -]?){7,}")

RootCause = Literal[
    "attitude",
    "skill",
    "overdue",
    "extra_materials",
    "guide_wrong",
    "system_fault",
    "repeated_visits",
    "fees",
    "venue",
    "policy",
    "misunderstanding",
    "other",
]
"""差评原因: 服务态度, 业务不熟, 超时, 额外材料, 指南有误, 系统故障, 多次跑动, 收费, 场地设施, 政策本身, 误解, 其他."""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


def _no_long_number(value: str) -> str:
    if LONG_NUMBER.search(value):
        raise ValueError("everybody may read this: no phone, ID or case number in it")
    return value


PublicWords = Annotated[Reason, AfterValidator(_no_long_number)]
"""Words that are published: 5 to 500 characters without a number that could name somebody."""


Ledger = Annotated[str, Field(min_length=1, max_length=60), CLEAN]


class TimerRun(Strict):
    """Run the timers as if it were then (development and demonstrations)."""

    as_of: AwareDatetime


class TimerRan(BaseModel):
    """What the timers did."""

    escalated: int
    closed: int
    published: int


class VerifyTicket(Strict):
    """核实: whether it was as the rater says, and what was found."""

    confirmed: bool
    words: Prose


class RecordCallback(Strict):
    """回访: one call to the rater."""

    reached: bool
    words: Prose


class PlanRectification(Strict):
    """整改方案; a complex one states its reason and the ledger entry (台账) that follows it."""

    kind: Literal["simple", "complex"]
    words: Prose
    reason: Annotated[Reason | None, Field(validate_default=True)] = None
    ledger: Annotated[Ledger | None, Field(validate_default=True)] = None

    @field_validator("reason", "ledger")
    @classmethod
    def _complex_says_why(cls, value: str | None, known: ValidationInfo) -> str | None:
        if known.data.get("kind") == "complex" and not value:
            raise ValueError("a complex rectification states its reason and its ledger entry")
        return value


class CloseTicket(Strict):
    """Root cause, coded and in words, and what was done; `action` is published."""

    root_cause: RootCause
    words: Prose
    action: PublicWords


class GiveFeedback(Strict):
    """反馈 to the rater: how, and what was said."""

    by: Literal["phone", "sms", "in_person", "online"]
    words: Prose


class Rerate(Strict):
    """再评价: 5 非常满意 … 1 非常不满意 with what was done."""

    grade: Literal[1, 2, 3, 4, 5]


class Reveal(Strict):
    """Why the rater's name and phone must be seen."""

    reason: Reason


Days = Annotated[int, Field(ge=1, le=60)]


class DeadlinesForm(Strict):
    """办理时限 in working days; `rerate`: after feedback, silence of so many days closes the ticket."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)

    callback: Days
    verify: Days
    rectify_simple: Days
    rectify_complex: Days
    escalation_step: Days
    appeal: Days
    review: Days
    publish: Days
    rerate: Days


class TicketStepRead(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    round: int
    act: str
    outcome: str | None
    words: str | None
    officer: str | None
    at: datetime


class TicketSummary(BaseModel):
    """A ticket in a list; `level` 1 section head, 2 department head, 3 the area's supervisor, 0 nobody yet."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    rating_id: UUID
    revision: int
    state: str
    round: int
    area_code: str
    department_code: str
    grade: int
    opened_on: date
    next_due_on: date | None
    level: int
    matter_name: str | None
    hall: str | None
    window: str | None


class TicketRead(TicketSummary):
    """A ticket for the staff who work on it; the rater masked. `allowed`: what can be done now."""

    applicant: str | None
    phone: str | None
    tags: list[str]
    text: str | None = Field(description="What was written, masked")
    real_name: bool
    callback_due_on: date
    verify_due_on: date
    rectify_due_on: date
    attempts: int
    called_back_on: date | None
    verified_on: date | None
    confirmed: bool | None
    plan_class: str | None
    plan_reason: str | None
    ledger: str | None
    approved: bool
    root_cause: str | None
    root_words: str | None
    action: str | None
    explained: bool
    rectified_on: date | None
    feedback_on: date | None
    satisfied: bool | None
    regrade: int | None
    closed_on: date | None
    allowed: list[str]
    appeal_id: UUID | None
    steps: list[TicketStepRead]


class OutcomeRead(BaseModel):
    """What the rater sees of the handling."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    rating_id: UUID
    revision: int
    state: str
    grade: int
    root_cause: str | None
    action: str | None
    explained: bool
    rectified_on: date | None
    satisfied: bool | None
    regrade: int | None
    closed_on: date | None
    can_rerate: bool


class Revealed(BaseModel):
    """The rater's name and phone, in clear; None where they are not known."""

    name: str | None
    phone: str | None
