"""Commands and answers of what is public."""

from datetime import date
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field

from services.ratings.publication.model import ModerationReason
from services.ratings.rating.model.grades import Grade
from services.ratings.rating.model.root_causes import PlanClass, RootCause
from services.ratings.schema_base import CHOICE, Strict
from shared.fields import Reason


class Moderate(Strict):
    """Take a rating's words from view, or restore them; grade, tags and counts stay."""

    reason: Annotated[ModerationReason, CHOICE]
    words: Reason


class Rectification(BaseModel):
    """What was done about a bad rating."""

    root_cause: RootCause | None
    action: str | None
    explained: bool = Field(
        description="Not changed, because it has no legal basis; explained instead"
    )
    kind: PlanClass | None = Field(description="simple or complex")
    rectified_on: date | None
    in_time: bool
    satisfied: bool | None = Field(description="The rater's judgement of it; null: none")


class PublishedRating(BaseModel):
    """A rating as everybody may read it: never a number, a phone or a case."""

    id: UUID
    name: str
    area_code: str
    department_code: str
    matter_code: str | None
    matter_name: str | None
    grade: Grade
    tags: list[str]
    text: str | None
    supplements: list[str]
    text_withheld: ModerationReason | None = Field(description="Why the words are not shown")
    month: str
    published_on: date
    rectification: Rectification | None


class PublicationRead(BaseModel):
    """How it stands with a rating's publication, for those who moderate words."""

    rating_id: UUID
    revision: int
    area_code: str
    department_code: str
    text: str | None
    due_on: date | None
    published_on: date | None
    text_hidden: bool
    moderation: ModerationReason | None
