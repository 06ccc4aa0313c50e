"""Cases of bureaus' own systems: what is pushed, and what became of it."""

from datetime import date
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationInfo, field_validator

from services.cases.schema_base import Phone, Strict
from shared.domain import codes
from shared.fields import CLEAN, Line

SourceNumber = Annotated[str, Field(pattern=r"^[0-9A-Za-z_./-]{1,60}$")]


class Contact(Strict):
    """Whom ratings may ask for a judgement."""

    name: Line
    phone: Phone


@lru_cache(maxsize=10_000)
def _checked_matter_code(value: str) -> str:
    """A bureau's cases are of a few matters, and the check of a code costs more than all else of a record."""
    return codes.check_implementing_code(value) if codes.claims_to_be_national(value) else value


class PushedCase(Strict):
    """One case of a bureau's own system. Personal data stays there, but for whom ratings may ask (`contact`).

    It is given where the system cannot ask itself (专网), is passed on sealed and not kept here.
    """

    source_number: SourceNumber
    version: int = Field(ge=1, le=2**31 - 1)
    matter_code: Annotated[str, Field(min_length=1, max_length=80), CLEAN]
    matter_name: Line
    matter_type: codes.MatterType
    immediate: bool = False
    applicant_kind: Literal["person", "organisation"]
    state: Literal["received", "accepted", "closed"]
    received_on: date
    accepted_on: date | None = None
    closed_on: Annotated[date | None, Field(validate_default=True)] = None
    result: Annotated[
        Literal["0", "1", "2", "3", "4", "5", "6"] | None, Field(validate_default=True)
    ] = None
    overdue: bool = False
    contact: Contact | None = None

    @field_validator("matter_code")
    @classmethod
    def _national_codes_hold(cls, value: str) -> str:
        return _checked_matter_code(value)

    @field_validator("accepted_on", "closed_on")
    @classmethod
    def _follows_what_came_before(cls, value: date | None, known: ValidationInfo) -> date | None:
        before = [
            known.data[name]
            for name in ("received_on", "accepted_on")
            if known.data.get(name) is not None
        ]
        if value is not None and before and value < max(before):
            raise ValueError(f"must not lie before {max(before)}")
        return value

    @field_validator("closed_on", "result")
    @classmethod
    def _is_there_when_closed(cls, value: Any, known: ValidationInfo) -> Any:
        if known.data.get("state") == "closed" and value is None:
            raise ValueError("a closed case has it")
        return value


class PushCases(Strict):
    """A push of up to 5,000 cases; each record is judged by itself."""

    source_system: Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{2,40}$")]
    records: list[dict[str, Any]] = Field(min_length=1, max_length=5000)


class Rejection(BaseModel):
    """Why a record came back."""

    row: int
    field: str
    rule: str
    message: str


class Pushed(BaseModel):
    """What became of a push; `rejections` names row, field and rule."""

    received: int
    accepted: int
    unchanged: int
    rejected: int
    rejections: list[Rejection]
