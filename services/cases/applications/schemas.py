"""Uploads, applications, and what meets their materials: what is sent, and how it is shown."""

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Discriminator, Field, Tag, ValidationInfo, field_validator

from services.cases.case_file.model.enums import LicenseTrust
from services.cases.case_file.model.materials import material_kind
from services.cases.schema_base import Phone, Strict
from shared import clock
from shared.domain import codes
from shared.domain.guides import Bilingual, Code
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


class UploadedMaterial(Strict):
    """An upload of the caller's meets the material."""

    kind: Literal["upload"] = "upload"
    code: Code
    upload_id: UUID


class EarlierMaterial(Strict):
    """A material of an earlier case of the same applicant meets it.

    `earlier_code` is its code there (default: the same).
    """

    kind: Literal["earlier_case"]
    code: Code
    earlier_case_id: UUID
    earlier_code: Code | None = None

    @property
    def origin(self) -> tuple[UUID, str]:
        """The earlier case, and the code of the material there."""
        return self.earlier_case_id, self.earlier_code or self.code


class PromisedMaterial(Strict):
    """容缺: the applicant promises to bring it by the limit.

    Only where the guide allows it (necessity 3).
    """

    kind: Literal["promise"]
    code: Code


class LicensedMaterial(Strict):
    """免提交: an e-license of the applicant meets it.

    `consent`: the applicant agrees; whoever acts for her, an agent or a window clerk, records it.
    """

    kind: Literal["license"]
    code: Code
    license_id: UUID
    consent: bool = False


GivenMaterial = Annotated[
    Annotated[UploadedMaterial, Tag("upload")]
    | Annotated[EarlierMaterial, Tag("earlier_case")]
    | Annotated[PromisedMaterial, Tag("promise")]
    | Annotated[LicensedMaterial, Tag("license")],
    Discriminator(material_kind),
]
"""What meets a material of the personal guide; further sources are further kinds."""
Materials = Annotated[list[GivenMaterial], Field(max_length=300)]


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


class UsableLicense(BaseModel):
    """A license that may meet a material; the number masked where its holder is a person."""

    license_id: UUID
    type_name: dict[str, str]
    number: str
    trust: LicenseTrust
    valid_until: date | None


class LicenseMatch(BaseModel):
    """A material of the guide that a license can meet, and the caller's licenses that do."""

    material_code: str
    material_name: Bilingual
    license_type_code: str
    licenses: list[UsableLicense]
