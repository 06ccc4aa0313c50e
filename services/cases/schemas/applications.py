"""Applying, and finding one's case again."""

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field, ValidationInfo, field_validator

from services.cases.schemas.base import Phone, Strict
from services.cases.schemas.materials import Materials
from shared import clock
from shared.domain import codes
from shared.domain.guides import Code
from shared.fields import CLEAN, Line


class Applicant(Strict):
    """Who applies: a person with an ID number, or an organisation with its USCC."""

    kind: Literal["person", "organisation"] = "person"
    name: Line
    id_number: Annotated[str, Field(max_length=18), CLEAN]
    phone: Phone

    @field_validator("id_number")
    @classmethod
    def _number_fits(cls, value: str, known: ValidationInfo) -> str:
        if known.data.get("kind") == "organisation":
            return codes.check_uscc(value)
        return codes.check_id_number(value, clock.local_date(clock.now()))


class Guided(Strict):
    """The personal guide that the applicant was shown (its digest proves it)."""

    matter_id: UUID
    matter_version: int = Field(ge=1, le=2**31 - 1)
    answers: dict[Code, Code] = Field(default={}, max_length=200)
    guide_digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class Apply(Guided):
    """An application under a personal guide."""

    applicant: Applicant
    materials: Materials = Field(default=[])
    channel: Literal["pc", "mobile", "window", "kiosk"] = "pc"


class MatchLicenses(Guided):
    """Which of the caller's licences meet materials of the guide; with `id_number` (or USCC) those of this applicant alone."""

    id_number: Annotated[str, Field(min_length=1, max_length=18), CLEAN] | None = None


class Track(Strict):
    number: Annotated[str, Field(pattern=r"^[0-9A-Z]{20,50}$")]
    phone_last4: Annotated[str, Field(pattern=r"^[0-9]{4}$")]


class Tracked(BaseModel):
    """What number and phone show without signing in."""

    number: str
    state: str
    matter_name: str
    due_on: date | None
