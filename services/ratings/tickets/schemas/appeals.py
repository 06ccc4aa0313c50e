"""Commands and answers of appeals."""

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from services.ratings.rating.model.grades import Grade
from services.ratings.rating.model.rating import ExclusionReason
from services.ratings.schema_base import CHOICE, Strict
from services.ratings.tickets.model.appeal import AppealState
from shared.fields import Reason


class MakeAppeal(Strict):
    """申诉: a mistake (误评) or malice (恶意), and why."""

    ground: Annotated[ExclusionReason, CHOICE]
    reasons: Reason


class ReviewAppeal(Strict):
    """复核: whether the reviewer agrees with the department, and why."""

    agrees: bool
    reasons: Reason


class AppealRead(BaseModel):
    """An appeal. Who reviewed it is not shown, how many agreed is."""

    id: UUID
    ticket_id: UUID
    rating_id: UUID
    revision: int
    state: AppealState
    area_code: str
    department_code: str
    ground: ExclusionReason
    reasons: str
    made_at: datetime
    review_due_on: date
    agreements: int
    opinions: list[str]
    decided_on: date | None


class ExcludedRead(BaseModel):
    """A rating that an appeal left out of every rate: it stays, for its rater and for auditors."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    area_code: str
    department_code: str
    matter_name: str | None
    grade: Grade
    tags: list[str]
    masked_text: str | None
    rated_on: date
    excluded_on: date
    excluded_reason: ExclusionReason
