"""The acts on a case, in the order of its life, and its lights."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field, ValidationInfo, field_validator

from services.cases.applications.schemas import Materials
from services.cases.case_file.model.case import DeliveryMethod
from services.cases.case_file.model.clocks import Level, LightRule
from services.cases.schema_base import Strict
from shared.domain.guides import Code
from shared.errors import InvalidValueError
from shared.fields import Line, Prose, Reason


class RefuseAcceptance(Strict):
    """Why a case is not accepted (不予受理), or returned (退件)."""

    reasons: Reason


class MissingItem(Strict):
    """One gap: a material of the guide, or only a text."""

    material_code: Code | None = None
    text: Line


class RequestCorrection(Strict):
    """Everything that is missing."""

    items: list[MissingItem] = Field(min_length=1, max_length=100)


class Correct(Strict):
    """The materials that fill gaps."""

    materials: Materials = Field(min_length=1)


class Review(Strict):
    """The opinion of a reviewer (审查意见); the department alone reads `text`."""

    opinion: Literal["agree", "disagree"]
    text: Prose


SpecialKind = Literal["听证", "招标", "拍卖", "检验", "检测", "检疫", "鉴定", "专家评审"]
"""Special procedures (特别程序) whose time is not counted: the law's own list (art. 45)."""


class SuspendCase(Strict):
    """A special procedure, and the working days it is planned to take."""

    kind: SpecialKind
    planned_days: int = Field(ge=1, le=365)
    reason: Reason


class ExtendTime(Strict):
    """An extension (延期) in working days."""

    # As far as the setting `extension_days_max` may go; the use case checks the setting itself.
    days: int = Field(ge=1, le=90)
    reasons: Reason


class AnswerLight(Strict):
    """Why the light went on, and what is done about it."""

    text: Reason


class Decide(Strict):
    """The result (办结结果): 0 granted (准予), 1 refused (不予许可, with reasons)."""

    # The other results, such as 退件 and 不予受理, come from acts of their own.
    result: Literal["0", "1"]
    # `validate_default`: a refusal whose reasons are left out must be noticed, too (art. 38).
    reasons: Annotated[Reason | None, Field(validate_default=True)] = None

    @field_validator("reasons")
    @classmethod
    def _refusal_has_reasons(cls, value: str | None, known: ValidationInfo) -> str | None:
        if known.data.get("result") == "1" and not value:
            raise InvalidValueError("a refusal states its reasons")
        return value


class Deliver(Strict):
    """How the result reaches the applicant."""

    method: DeliveryMethod
    tracking_number: Annotated[str, Field(pattern=r"^[0-9A-Za-z-]{5,40}$")] | None = None


class LightRead(BaseModel):
    """A light over a case; `due_on` is the day it is measured by."""

    id: UUID
    revision: int
    case_id: UUID
    number: str
    matter_name: str
    area_code: str
    department_code: str
    rule: LightRule
    level: Level
    due_on: date
    raised_at: datetime
    answer: str | None
    answered_by: str | None
    answered_at: datetime | None
    cleared_at: datetime | None
