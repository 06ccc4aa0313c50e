"""Supervision records as bureaus send them, and what is counted of them."""

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, Field, ValidationInfo, field_validator

from services.matters.model.supervision import Behaviour as StoredBehaviour
from services.matters.schemas.catalogue import Strict
from shared import clock
from shared.domain import codes
from shared.errors import InvalidValueError
from shared.fields import CLEAN, Line

Behaviour = Literal["02", "03", "06", "10"]
"""监管行为, by the codes of 事项类型: 02 处罚, 03 强制, 06 检查, 10 其他."""
SourceNumber = Annotated[str, Field(pattern=r"^[0-9A-Za-z_./-]{1,60}$")]


class SupervisedObject(Strict):
    """Who was inspected or punished:
    an organisation by its USCC, or a person by ID number, which is not kept.
    """

    kind: Literal["person", "organisation"]
    number: Annotated[str, Field(max_length=18), CLEAN]

    @field_validator("number")
    @classmethod
    def _number_fits(cls, value: str, known: ValidationInfo) -> str:
        if known.data.get("kind") == "organisation":
            return codes.check_uscc(value)
        return codes.check_id_number(value, clock.local_date(clock.now()))


class SentSupervision(Strict):
    """One supervision record (监管行为) of a bureau's own system."""

    source_number: SourceNumber
    version: int = Field(ge=1, le=2**31 - 1)
    regulatory_code: Annotated[str, Field(pattern=r"^[0-9]{14}$")]
    behaviour: Behaviour
    object: SupervisedObject
    done_on: date
    result: Annotated[Line, Field(max_length=100)]
    officers: Annotated[int, Field(ge=1, le=1000)]

    @field_validator("done_on")
    @classmethod
    def _has_happened(cls, value: date) -> date:
        if value > clock.local_date(clock.now()):
            raise InvalidValueError("lies in the future")
        return value

    @field_validator("officers")
    @classmethod
    def _two_inspect(cls, value: int, known: ValidationInfo) -> int:
        if known.data.get("behaviour") == StoredBehaviour.INSPECTION and value < 2:
            raise InvalidValueError("an inspection is made by at least two officers")
        return value


class SupervisionCountRead(BaseModel):
    """How many records a department has of a behaviour."""

    area_code: str
    department_code: str
    behaviour: StoredBehaviour
    records: int


class SupervisionStatistics(BaseModel):
    """汇聚数据量: all records, by behaviour, and by department and behaviour."""

    records: int
    by_behaviour: dict[str, int]
    departments: list[SupervisionCountRead]
