"""Giving a rating and reading it."""

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

import orjson
from pydantic import BaseModel, Field, StringConstraints, ValidationInfo, field_validator

from services.ratings.rating.model.channels import (
    Pf,
    SubChannel,
    check_sub_channel,
    check_terminal,
)
from services.ratings.rating.model.dictionary import check_tags
from services.ratings.rating.model.grades import Content, Grade
from services.ratings.rating.model.rating import Source
from services.ratings.rating.model.service_event import Stage
from services.ratings.rating.model.suspicions import Suspicion
from services.ratings.schema_base import CHOICE, CaseNumber, Place, Strict
from shared.errors import InvalidValueError
from shared.fields import CLEAN
from shared.security.crypto import lookup_hash

Words = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500), CLEAN
]
TokenText = Annotated[
    str, Field(min_length=1, max_length=1024, pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$")
]


class RatingContent(Strict):
    """What somebody says about a service.

    `grade` is 5 非常满意 … 1 非常不满意; `tags` are of that grade; `contents` are graded alike.
    `real_name` is 实名 or verified anonymous. By default a rating has a real name where the
    credential tells whose service it was.
    """

    grade: Grade
    tags: Annotated[
        list[Annotated[str, Field(pattern=r"^[0-9]{3}$")]],
        Field(max_length=8, default_factory=list),
    ]
    contents: dict[Annotated[Content, CHOICE], Grade] = Field(default_factory=dict)
    text: Words | None = None
    real_name: bool | None = None
    pf: Annotated[Pf, CHOICE]
    sub_channel: Annotated[SubChannel, CHOICE]
    terminal: Annotated[Place | None, Field(validate_default=True)] = None

    # Fields are validated in their order. One that had a fault is missing in `known.data`: its own
    # fault is reported, and no further one that follows from it.

    @field_validator("tags")
    @classmethod
    def _tags_of_the_grade(cls, value: list[str], known: ValidationInfo) -> list[str]:
        grade: Grade | None = known.data.get("grade")
        if grade is not None:
            check_tags(grade, value)
        return value

    @field_validator("sub_channel")
    @classmethod
    def _channel_of_its_kind(cls, value: SubChannel, known: ValidationInfo) -> SubChannel:
        pf: Pf | None = known.data.get("pf")
        if pf is not None:
            check_sub_channel(pf, value)
        return value

    @field_validator("terminal")
    @classmethod
    def _devices_say_which_they_are(cls, value: str | None, known: ValidationInfo) -> str | None:
        pf: Pf | None = known.data.get("pf")
        if pf is not None and "sub_channel" in known.data:
            check_terminal(pf, value)
        return value

    # The order of this list is stored in the hashes of all ratings: it must never change.
    def fingerprint(self) -> bytes:
        """Keyed hash of all that is said, whatever the order of tags; tells repetitions apart."""
        contents = {content.value: grade for content, grade in self.contents.items()}
        said = [self.grade, sorted(self.tags), contents, self.text, self.real_name]
        return lookup_hash(
            orjson.dumps(said, option=orjson.OPT_SORT_KEYS).hex(), purpose="rating.content"
        )


class SubmitRating(RatingContent):
    """One rating, with the proof that its sender may give it.

    The proof is the `token` of a link or code, or the signed-in applicant with `case_number`.
    12345 operators give `case_number` and the last four digits of the applicant's phone, who is on
    the line. Whoever redeems a pre-issued token may bind it to the case in the same way. `device`
    is any name that an app keeps for its phone.
    """

    token: TokenText | None = None
    case_number: CaseNumber | None = None
    service_number: Annotated[int, Field(ge=1, le=99)] | None = None
    phone_last4: Annotated[str, Field(pattern=r"^[0-9]{4}$")] | None = None
    device: Annotated[str, Field(min_length=8, max_length=64), CLEAN] | None = None


class RatingRecord(RatingContent):
    """A rating given inside a private network by a pre-issued token, which is the proof."""

    token: TokenText
    rated_at: datetime
    case_number: CaseNumber | None = None

    @field_validator("rated_at")
    @classmethod
    def _with_offset(cls, value: datetime) -> datetime:
        if value.tzinfo is None:
            raise InvalidValueError("needs an offset")
        return value


class SupplementRating(Strict):
    """追加: words only, by the token that rated or the account."""

    text: Words
    token: TokenText | None = None


class SupplementRead(BaseModel):
    text: str
    at: datetime


class RatingRead(BaseModel):
    """A rating. The rater reads the words as written, everybody else masked.

    `suspicions` are for staff.
    """

    id: UUID
    invitation_id: UUID | None
    revision: int
    stage: Stage
    case_number: str | None
    service_number: int
    area_code: str
    department_code: str
    matter_code: str | None
    matter_name: str | None
    hall: str | None
    window: str | None
    grade: Grade
    tags: list[str]
    dictionary: str
    contents: dict[Content, Grade]
    text: str | None
    pf: Pf
    sub_channel: SubChannel
    terminal: str | None
    real_name: bool
    source: Source
    suspicions: list[Suspicion]
    supplements: list[SupplementRead]
    rated_at: datetime
    rated_on: date


class TagRead(BaseModel):
    """评价指标. `expanded`: shown under 更多."""

    code: str
    grade: Grade
    text: str
    dictionary: str
    enabled: bool
    expanded: bool


class GradeRead(BaseModel):
    """A grade and the tags that can be chosen with it."""

    grade: Grade
    text: str
    tags: list[TagRead]


class TagDictionary(BaseModel):
    """Grades from the best down, each with the tags that can be chosen."""

    dictionary: str
    grades: list[GradeRead]
    contents: dict[Content, str]
    retired: list[TagRead]
