"""Checking a license without signing in."""

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, model_validator

from services.licenses.model.identifiers import check_identifier
from services.licenses.model.states import Status, Trust
from services.licenses.model.types import Bilingual, TypeCode
from services.licenses.schemas.licenses import Number, Strict
from shared.errors import InvalidValueError
from shared.fields import CLEAN

Identifier = Annotated[str, Field(max_length=120), CLEAN, AfterValidator(check_identifier)]
SignatureResult = Literal["good", "broken", "none"]
ValidityResult = Literal["within", "not_yet", "over"]


class CheckLicense(Strict):
    """What stands on the paper.

    Either the QR's content; or the identifier with the check code; or type and number with it.
    """

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
        # The QR needs no code, every other way needs it.
        code_is_wrong = (self.code is None) == (self.qr is None)
        if sum(ways) != 1 or code_is_wrong:
            raise InvalidValueError(
                "send qr; or identifier and code; or type_code, number and code"
            )
        return self

    @property
    def target(self) -> str:
        """What is asked about, for the limit of attempts per number."""
        return self.qr or self.identifier or f"{self.type_code}/{self.number}"


class SignatureRead(BaseModel):
    """Whether the record is as it was signed; `none` where nobody has signed it (yet)."""

    result: SignatureResult
    kid: str | None


class IssuerRead(BaseModel):
    """Who issued it, and the trust of such licenses."""

    name: str
    code: str
    trust: Trust


class ValidityRead(BaseModel):
    """Whether the day of the check lies within the validity."""

    result: ValidityResult
    valid_from: date
    valid_until: date | None


class StatusRead(BaseModel):
    """证照状态, and whether a newer version has replaced this one."""

    code: Status
    name: str
    superseded: bool


class CheckRead(BaseModel):
    """Four separate findings as of a moment. The reader decides what they are worth together."""

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
