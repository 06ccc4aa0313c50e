"""Giving a rating and reading it."""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints, ValidationInfo, field_validator

from services.ratings.rating.model.channels import SubChannel, channel_fault
from services.ratings.rating.model.dictionary import tag_fault
from services.ratings.schema_base import CaseNumber, Place, Strict
from shared.events.ratings import Pf, Stage
from shared.fields import CLEAN

Grade = Literal[1, 2, 3, 4, 5]
Content = Literal["process", "efficiency", "convenience", "attitude", "experience"]
Words = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500), CLEAN
]
Token = Annotated[
    str, Field(min_length=1, max_length=1024, pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$")
]


class Said(Strict):
    """What is said of a service: `grade` 5 非常满意 … 1 非常不满意, `tags` of that grade, `contents` graded alike.

    `real_name`: 实名 or verified anonymous; by default with real name where the credential tells whose service it was.
    """

    grade: Grade
    tags: Annotated[
        list[Annotated[str, Field(pattern=r"^[0-9]{3}$")]],
        Field(max_length=8, default_factory=list),
    ]
    contents: dict[Content, Grade] = Field(default_factory=dict)
    text: Words | None = None
    real_name: bool | None = None
    pf: Pf
    sub_channel: SubChannel
    terminal: Annotated[Place | None, Field(validate_default=True)] = None

    @field_validator("tags")
    @classmethod
    def _tags_of_the_grade(cls, value: list[str], known: ValidationInfo) -> list[str]:
        grade = known.data.get("grade")
        if grade is not None and (fault := tag_fault(grade, value)):
            raise ValueError(fault)
        return value

    @field_validator("sub_channel")
    @classmethod
    def _channel_of_its_kind(cls, value: SubChannel, known: ValidationInfo) -> SubChannel:
        return cls._channel("sub_channel", value, known.data.get("pf"), value, "?")

    @field_validator("terminal")
    @classmethod
    def _devices_say_which_they_are(cls, value: str | None, known: ValidationInfo) -> str | None:
        return cls._channel(
            "terminal", value, known.data.get("pf"), known.data.get("sub_channel"), value
        )

    @classmethod
    def _channel(
        cls, field: str, value: Any, pf: str | None, sub_channel: str | None, terminal: str | None
    ) -> Any:
        fault = channel_fault(pf, sub_channel, terminal) if pf and sub_channel else None
        if fault is not None and fault[0] == field:
            raise ValueError(fault[2])
        return value


class SubmitRating(Said):
    """One rating. Its credential is the `token` of a link or code, or the signed-in applicant with `case_number`.

    12345 operators give `case_number` and the last four digits of the applicant's phone, who is on the line. Whoever redeems a
    pre-issued token may bind it to the case in the same way. `device`: any name that an app keeps for its phone.
    """

    token: Token | None = None
    case_number: CaseNumber | None = None
    service_number: Annotated[int, Field(ge=1, le=99)] | None = None
    phone_last4: Annotated[str, Field(pattern=r"^[0-9]{4}$")] | None = None
    device: Annotated[str, Field(min_length=8, max_length=64), CLEAN] | None = None


class RatingRecord(Said):
    """A citizen's use of a pre-issued token inside a private network. The token itself is the proof."""

    token: Token
    rated_at: datetime
    case_number: CaseNumber | None = None

    @field_validator("rated_at")
    @classmethod
    def _with_offset(cls, value: datetime) -> datetime:
        if value.tzinfo is None:
            raise ValueError("needs an offset")
        return value


class SupplementRating(Strict):
    """追加: words only, by the token that rated or the account."""

    text: Words
    token: Token | None = None


class SupplementRead(BaseModel):
    text: str
    at: datetime


class RatingRead(BaseModel):
    """A rating. The rater reads the words as written, everybody else masked; `suspicions` are for staff."""

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
    contents: dict[str, int]
    text: str | None
    pf: str
    sub_channel: str
    terminal: str | None
    real_name: bool
    source: str
    suspicions: list[str]
    supplements: list[SupplementRead]
    rated_at: datetime
    rated_on: date


class TagRead(BaseModel):
    """评价指标. `expanded`: shown under 更多."""

    code: str
    grade: int
    text: str
    dictionary: str
    enabled: bool
    expanded: bool


class GradeRead(BaseModel):
    """A grade and the tags that can be chosen with it."""

    grade: int
    text: str
    tags: list[TagRead]


class TagDictionary(BaseModel):
    dictionary: str
    grades: list[GradeRead]
    contents: dict[str, str]
    retired: list[TagRead]
