"""What meets a material: commands, and which licenses could."""

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Discriminator, Field, Tag

from services.cases.case_file.model.enums import LicenseTrust
from services.cases.case_file.model.materials import material_kind
from services.cases.schema_base import Strict
from shared.domain.guides import Bilingual, Code


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
