"""Commands on licenses, and how they are shown."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from services.licenses.model.states import HolderKind, Operation, Origin, Status, Trust
from services.licenses.model.types import MAX_VALUE, Bilingual, TypeCode
from shared import clock
from shared.domain import codes
from shared.errors import InvalidValueError
from shared.fields import CLEAN, Line, Reason


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


Value = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_VALUE), CLEAN
]
FieldName = Annotated[str, Field(max_length=60)]
Values = Annotated[dict[FieldName, Value], Field(max_length=60)]
"""The content by field name; dates as YYYY-MM-DD, numbers as decimal digits."""
Number = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60), CLEAN
]
"""证照编号 as it is printed."""
EARLIEST, LATEST = date(1900, 1, 1), date(2200, 1, 1)
Day = Annotated[date, Field(ge=EARLIEST, le=LATEST)]
# Inputs name their lists as Literal: the rule of a wrong value stays `literal_error`.
Kind = Literal["person", "organisation"]


def check_holder_number(kind: str, *, value: str) -> str:
    """The ID number of a person, the USCC of an organisation.

    Raises:
        ValueError: form or check character is wrong.
    """
    if kind == HolderKind.ORGANISATION:
        return codes.check_uscc(value)
    return codes.check_id_number(value, clock.local_date(clock.now()))


class Holder(Strict):
    """持证主体: a person with an ID number, or an organisation with its USCC."""

    kind: Kind
    name: Line
    id_number: Annotated[str, Field(max_length=18), CLEAN]

    @field_validator("id_number")
    @classmethod
    def _number_fits(cls, value: str, known: ValidationInfo) -> str:
        # `kind` is missing here when it was refused itself.
        return check_holder_number(str(known.data.get("kind", "person")), value=value)


class IssueLicense(Strict):
    """A new license.

    Without `number` one is made. Without `valid_until` the type's validity counts from
    `valid_from`.
    """

    type_code: TypeCode
    number: Number | None = None
    holder: Holder
    fields: Values = {}
    issued_on: Day | None = None
    valid_from: Day | None = None
    valid_until: Day | None = None
    case_number: Annotated[str, Field(max_length=60), CLEAN] | None = None
    matter_code: Annotated[str, Field(max_length=60), CLEAN] | None = None

    @model_validator(mode="after")
    def _days_fit(self) -> "IssueLicense":
        first = self.valid_from or self.issued_on
        if first and self.valid_until and self.valid_until < first:
            raise InvalidValueError("valid_until lies before the first day")
        return self


class Why(Strict):
    """Why an operation is done."""

    reason: Reason


class EndLicense(Why):
    """撤销 `revoke`, 注销 `cancel` or 吊销 `withdraw`: for good."""

    kind: Literal["revoke", "cancel", "withdraw"]


class ChangeLicense(Why):
    """变更: fields with their new values (null removes one), another name of the holder."""

    fields: Annotated[dict[FieldName, Value | None], Field(max_length=60)] = {}
    holder_name: Line | None = None

    @model_validator(mode="after")
    def _something_changes(self) -> "ChangeLicense":
        if not self.fields and self.holder_name is None:
            raise InvalidValueError("nothing would change")
        return self


class RenewLicense(Why):
    """延续 until another last day; without one, by the type's validity after the present one."""

    valid_until: Day | None = None


class LicenseSummary(BaseModel):
    """A license in a list."""

    id: UUID
    revision: int
    identifier: str
    number: str
    type_code: str
    type_name: Bilingual
    status: Status
    trust: Trust
    signed: bool
    issued_on: date
    valid_until: date | None


class LicenseRead(LicenseSummary):
    """A license. Names and numbers are masked, and sensitive fields left out, unless the reader
    is the holder.

    `check_code` is printed with it and shown to the holder alone. `signature` is a JWS over the
    canonical record.
    """

    version: int
    type_version: int
    area_code: str
    department_code: str
    issuer_code: str
    issuer_name: str
    holder_kind: HolderKind
    holder_name: str
    holder_id_number: str
    fields: dict[str, str]
    valid_from: date
    digest: str
    origin: Origin
    case_id: UUID | None
    case_number: str | None
    matter_name: str | None
    signature: str | None
    check_code: str | None
    changed_at: datetime
    allowed: list[Operation]


class VersionRead(BaseModel):
    """One version of the chain."""

    version: int
    identifier: str
    previous: str | None
    digest: str
    kid: str | None
    signature: str | None
    act: Operation
    reason: str | None
    made_at: datetime


class StepRead(BaseModel):
    """One operation."""

    act: Operation
    status: Status
    version: int
    reason: str | None
    at: datetime
