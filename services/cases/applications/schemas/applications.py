"""Uploads, applications and license matches: what is sent, and how an upload is shown."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field, ValidationInfo, field_validator

from services.cases.applications.schemas.materials import Materials
from services.cases.schema_base import Phone, Strict
from shared import clock
from shared.domain import codes
from shared.domain.guides import Code
from shared.fields import CLEAN, Line

ChannelName = Literal["pc", "mobile", "window", "kiosk"]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
"""The digest of a guide that the applicant was shown."""


class UploadRead(BaseModel):
    """A stored file; `size` in bytes."""

    id: UUID
    digest: str
    media_type: str
    size: int


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
    guide_digest: Digest


class Apply(Guided):
    """An application under a personal guide."""

    applicant: Applicant
    materials: Materials = Field(default=[])
    channel: ChannelName = "pc"


class MatchLicenses(Guided):
    """Which of the caller's licenses meet materials of the guide.

    With `id_number` (or USCC) those of this applicant alone.
    """

    id_number: Annotated[str, Field(min_length=1, max_length=18), CLEAN] | None = None
