"""Cases of bureaus' own systems: what is pushed, and what became of it."""

from datetime import date
from functools import lru_cache
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from services.cases.imports.model import CaseRecord, ImportedResult
from services.cases.schema_base import Phone, Strict
from shared.domain import codes
from shared.errors import InvalidValueError
from shared.fields import Line


class Contact(Strict):
    """Whom ratings may ask for a judgement."""

    name: Line
    phone: Phone


# A bureau's cases are of a few matters, and to check a code costs more than the rest of a record.
@lru_cache(maxsize=10_000)
def _checked_matter_code(value: str) -> str:
    if codes.claims_to_be_national(value):
        return codes.check_implementing_code(value)
    return value


class PushedCase(CaseRecord):
    """One case of a bureau's own system. Personal data stays there, except `contact`.

    It says whom ratings may ask for a judgement, where the system cannot ask itself (专网). It is
    passed on sealed and not kept here.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    contact: Contact | None = None

    @field_validator("matter_code")
    @classmethod
    def _national_codes_hold(cls, value: str) -> str:
        return _checked_matter_code(value)

    @field_validator("accepted_on", "closed_on")
    @classmethod
    def _follows_what_came_before(cls, value: date | None, known: ValidationInfo) -> date | None:
        if value is None:
            return None
        earlier: list[date] = []
        for name in ("received_on", "accepted_on"):
            day: date | None = known.data.get(name)
            if day is not None:
                earlier.append(day)
        if earlier and value < max(earlier):
            raise InvalidValueError("must not lie before {day}", day=max(earlier).isoformat())
        return value

    @field_validator("closed_on", "result")
    @classmethod
    def _is_there_when_closed(
        cls, value: date | ImportedResult | None, known: ValidationInfo
    ) -> date | ImportedResult | None:
        if known.data.get("state") == "closed" and value is None:
            raise InvalidValueError("a closed case has it")
        return value


class PushCases(Strict):
    """A push of up to 5,000 cases; each record is judged by itself."""

    source_system: Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{2,40}$")]
    records: list[dict[str, object]] = Field(min_length=1, max_length=5000)


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
