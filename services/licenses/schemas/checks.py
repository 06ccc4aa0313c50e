"""Checking a licence without signing in."""

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, model_validator

from services.licenses.model.identifiers import check_identifier
from services.licenses.model.types import Bilingual, TypeCode
from services.licenses.schemas.licenses import Number, Strict
from shared.fields import CLEAN

Identifier = Annotated[str, Field(max_length=120), CLEAN, AfterValidator(check_identifier)]


class CheckLicense(Strict):
    """What stands on the paper: the QR's content; or the identifier, or type and number, with the check code."""

    qr: Annotated[str, Field(min_length=1, max_length=300), CLEAN] | None = None
    identifier: Identifier | None = None
    type_code: TypeCode | None = None
    number: Number | None = None
    code: Annotated[str, Field(min_length=8, max_length=8, pattern=r"^[0-9A-Za-z]{8}$")] | None = (
        None
    )

    @model_validator(mode="after")
    def _one_way(self) -> "CheckLicense":
        by_number = self.type_code is not None and self.number is not None
        ways = [self.qr is not None, self.identifier is not None, by_number]
        if sum(ways) != 1 or (self.code is None) == (self.qr is None):
            raise ValueError("send qr; or identifier and code; or type_code, number and code")
        return self

    @property
    def asked(self) -> str:
        """The one thing that is asked for, for the budget of tries."""
        return self.qr or self.identifier or f"{self.type_code}/{self.number}"


class SignatureRead(BaseModel):
    """Whether the record is as it was signed: `good`, `broken`, or `none` where nobody has signed it (yet)."""

    result: Literal["good", "broken", "none"]
    kid: str | None


class IssuerRead(BaseModel):
    """Who issued it, and the trust of such licences (A made and signed by the issuer … D self-made)."""

    name: str
    code: str
    trust: str


class ValidityRead(BaseModel):
    """Whether the day of the check lies within it."""

    result: Literal["within", "not_yet", "over"]
    valid_from: date
    valid_until: date | None


class StatusRead(BaseModel):
    """证照状态, and whether a newer version has taken this one's place."""

    code: str
    name: str
    superseded: bool


class CheckRead(BaseModel):
    """Four findings, each apart, as of a moment: whoever checks decides what they are worth together."""

    as_of: datetime
    identifier: str
    type_code: str
    type_name: Bilingual
    holder_name: str
    holder_id_number: str
    issued_on: date
    signature: SignatureRead
    issuer: IssuerRead
    validity: ValidityRead
    status: StatusRead
