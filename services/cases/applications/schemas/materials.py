"""What meets a material: commands, and which licences could."""

from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from services.cases.schema_base import Strict
from shared.domain.guides import Code


class UploadedMaterial(Strict):
    """An upload of the caller's meets the material."""

    kind: Literal["upload"] = "upload"
    code: Code
    upload_id: UUID


class EarlierMaterial(Strict):
    """A material of an earlier case of the same applicant meets it; `earlier_code` is its code there (default: the same)."""

    kind: Literal["earlier_case"]
    code: Code
    earlier_case_id: UUID
    earlier_code: Code | None = None


class PromisedMaterial(Strict):
    """容缺: the applicant promises to bring it by the limit; only where the guide allows it (necessity 3)."""

    kind: Literal["promise"]
    code: Code


class LicensedMaterial(Strict):
    """免提交: an e-licence of the applicant meets it.

    `consent`: the applicant agrees; whoever acts for her, an agent or a window clerk, records it.
    """

    kind: Literal["license"]
    code: Code
    license_id: UUID
    consent: bool = False


def _kind(value: Any) -> str:
    """An upload where no kind is named."""
    kind = (
        value.get("kind", "upload") if isinstance(value, dict) else getattr(value, "kind", "upload")
    )
    return str(kind)


GivenMaterial = Annotated[
    Annotated[UploadedMaterial, Tag("upload")]
    | Annotated[EarlierMaterial, Tag("earlier_case")]
    | Annotated[PromisedMaterial, Tag("promise")]
    | Annotated[LicensedMaterial, Tag("license")],
    Discriminator(_kind),
]
"""What meets a material of the personal guide; further sources are further kinds."""
Materials = Annotated[list[GivenMaterial], Field(max_length=300)]


class UsableLicense(BaseModel):
    """A licence that may meet a material; the number masked where its holder is a person."""

    model_config = ConfigDict(from_attributes=True)

    license_id: UUID
    type_name: dict[str, str]
    number: str
    trust: str
    valid_until: date | None


class LicenseMatch(BaseModel):
    """A material of the guide that a licence can meet, and the caller's licences that do."""

    material_code: str
    material_name: dict[str, str | None]
    license_type_code: str
    licenses: list[UsableLicense]
