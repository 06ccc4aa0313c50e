"""Commands and answers of tickets."""

import re
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from services.ratings.rating.model.grades import Grade
from services.ratings.rating.model.root_causes import PlanClass, RootCause
from services.ratings.rating.model.steps import TicketAct
from services.ratings.schema_base import CHOICE, Strict
from services.ratings.tickets.model.states import NextAct, TicketState
from shared.errors import InvalidValueError
from shared.fields import CLEAN, Prose, Reason

LONG_NUMBER = re.compile(r"(?:\d[ -]?){7,}")
"""As long as a phone number, an ID or a case number."""


def _no_long_number(value: str) -> str:
    if LONG_NUMBER.search(value):
        raise InvalidValueError("everybody may read this: no phone, ID or case number in it")
    return value


PublicWords = Annotated[Reason, AfterValidator(_no_long_number)]
"""Words that are published: 5 to 500 characters without a number that could name somebody."""
Ledger = Annotated[str, Field(min_length=1, max_length=60), CLEAN]
Days = Annotated[int, Field(ge=1, le=60)]


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

    kind: Annotated[PlanClass, CHOICE]
    words: Prose
    reason: Annotated[Reason | None, Field(validate_default=True)] = None
    ledger: Annotated[Ledger | None, Field(validate_default=True)] = None

    @field_validator("reason", "ledger")
    @classmethod
    def _complex_says_why(cls, value: str | None, known: ValidationInfo) -> str | None:
        if known.data.get("kind") == PlanClass.COMPLEX and not value:
            raise InvalidValueError(
                "a complex rectification states its reason and its ledger entry"
            )
        return value


class CloseTicket(Strict):
    """Root cause, coded and in words, and what was done; `action` is published."""

    root_cause: Annotated[RootCause, CHOICE]
    words: Prose
    action: PublicWords


class FeedbackChannel(StrEnum):
    """How the rater was told."""

    PHONE = "phone"
    SMS = "sms"
    IN_PERSON = "in_person"
    ONLINE = "online"


class GiveFeedback(Strict):
    """反馈 to the rater: how, and what was said."""

    by: Annotated[FeedbackChannel, CHOICE]
    words: Prose


class Rerate(Strict):
    """再评价: 5 非常满意 … 1 非常不满意 with what was done."""

    grade: Grade


class Reveal(Strict):
    """Why the rater's name and phone must be seen."""

    reason: Reason


class DeadlinesForm(Strict):
    """办理时限 in working days.

    `rerate`: after feedback, silence of so many days closes the ticket.
    """

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
    act: TicketAct
    outcome: str | None
    words: str | None
    officer: str | None
    at: datetime


class TicketSummary(BaseModel):
    """A ticket in a list.

    `level`: 1 section head, 2 department head, 3 the area's supervisor, 0 nobody yet.
    """

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    rating_id: UUID
    revision: int
    state: TicketState
    round: int
    area_code: str
    department_code: str
    grade: Grade
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
    plan_class: PlanClass | None
    plan_reason: str | None
    ledger: str | None
    approved: bool
    root_cause: RootCause | None
    root_words: str | None
    action: str | None
    explained: bool
    rectified_on: date | None
    feedback_on: date | None
    satisfied: bool | None
    regrade: Grade | None
    closed_on: date | None
    allowed: list[NextAct]
    appeal_id: UUID | None
    steps: list[TicketStepRead]


class OutcomeRead(BaseModel):
    """What the rater sees of the handling."""

    id: UUID
    rating_id: UUID
    revision: int
    state: TicketState
    grade: Grade
    root_cause: RootCause | None
    action: str | None
    explained: bool
    rectified_on: date | None
    satisfied: bool | None
    regrade: Grade | None
    closed_on: date | None
    can_rerate: bool


class Revealed(BaseModel):
    """The rater's name and phone, in clear; None where they are not known."""

    name: str | None
    phone: str | None
