"""A record of an old license as a bureau's own system sends it (采集)."""

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from services.licenses.model.identifiers import MAX_VERSION
from services.licenses.model.types import TypeCode
from services.licenses.schemas.licenses import Day, Kind, Number, Values, check_holder_number
from shared import clock
from shared.errors import InvalidValueError
from shared.fields import CLEAN, Line


# The JSON of this model is digested (`source_digest`): a new field changes every digest.
class CollectedLicense(BaseModel):
    """`version` rises with every change at the source, within the three digits of the identifier.

    `issuer_name` is kept as the old paper names it; the issuer is the department that sends.
    """

    model_config = ConfigDict(extra="forbid")

    source_number: Number
    version: int = Field(ge=1, le=MAX_VERSION)
    type_code: TypeCode
    holder_kind: Kind
    holder_name: Line
    holder_id_number: Annotated[str, Field(max_length=18), CLEAN]
    fields: Values = Field(default_factory=dict)
    issued_on: Day
    valid_from: Day | None = None
    valid_until: Day | None = None
    issuer_name: Line | None = None
    status: Literal["01", "02", "03", "04", "05", "06", "07", "99"] = "01"

    @field_validator("holder_id_number")
    @classmethod
    def _number_fits(cls, value: str, known: ValidationInfo) -> str:
        # `holder_kind` is missing here when it was refused itself.
        return check_holder_number(str(known.data.get("holder_kind", "person")), value=value)

    @field_validator("issued_on")
    @classmethod
    def _issued_already(cls, value: date) -> date:
        if value > clock.local_date(clock.now()):
            raise InvalidValueError("lies in the future")
        return value

    @model_validator(mode="after")
    def _days_fit(self) -> "CollectedLicense":
        first = self.valid_from or self.issued_on
        if self.valid_until and self.valid_until < first:
            raise InvalidValueError("valid_until lies before the first day")
        return self
