"""What meets a material: an upload, an earlier case's material of the same applicant, or a promise (容缺)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.cases import queries
from services.cases.model import Case
from services.cases.schemas import EarlierMaterial, GivenMaterial, PromisedMaterial, UploadedMaterial
from shared.errors import FieldError, InvalidInputError
from shared.tokens import Caller

Uploads = Mapping[UUID, tuple[str, str]]
"""Digest and media type of uploads by id."""
IsApplicants = Callable[[Any], bool]
"""Whether an earlier case, as `queries.list_earlier` gives it, is the same applicant's and within an agent's mandate."""


def upload_ids(given: Iterable[GivenMaterial]) -> list[UUID]:
    """The uploads that are named."""
    return [material.upload_id for material in given if isinstance(material, UploadedMaterial)]


async def take_materials(
    session: AsyncSession, given: Sequence[GivenMaterial], uploads: Uploads, is_applicants: IsApplicants
) -> list[dict[str, Any]]:
    """The materials as the case keeps them; 400 naming each that is not the applicant's."""
    earlier_ids = {material.earlier_case_id for material in given if isinstance(material, EarlierMaterial)}
    known = await queries.list_earlier(session, earlier_ids) if earlier_ids else []
    earlier = {
        (case.id, m["code"]): m for case in known if is_applicants(case) for m in case.materials if "digest" in m
    }
    taken: list[dict[str, Any]] = []
    faults: list[FieldError] = []
    for material in given:
        try:
            taken.append({"code": material.code, "kind": material.kind, **_source(material, uploads, earlier)})
        except KeyError:
            faults.append(_unknown(material))
    if len({material.code for material in given}) < len(given):
        faults.append(FieldError("materials", "unique", "each material is met once"))
    if faults:
        raise InvalidInputError("the materials cannot be taken", faults)
    return taken


def _source(material: GivenMaterial, uploads: Uploads, earlier: Mapping[Any, dict[str, Any]]) -> dict[str, Any]:
    match material:
        case UploadedMaterial():
            digest, media_type = uploads[material.upload_id]
            return {"digest": digest, "media_type": media_type}
        case EarlierMaterial():
            code = material.earlier_code or material.code
            found = earlier[material.earlier_case_id, code]
            origin = {"earlier_case_id": str(material.earlier_case_id), "earlier_code": code}
            return {"digest": found["digest"], "media_type": found["media_type"], **origin}
        case PromisedMaterial():
            return {}


def _unknown(material: GivenMaterial) -> FieldError:
    if isinstance(material, EarlierMaterial):
        words = "no earlier case of this applicant holds this material"
        return FieldError(f"materials.{material.code}.earlier_case_id", "own_case", words)
    return FieldError(f"materials.{material.code}.upload_id", "own_upload", "no upload of yours has this id")


async def take_more(
    session: AsyncSession, case: Case, given: Sequence[GivenMaterial], caller: Caller
) -> list[dict[str, Any]]:
    """Materials brought to a case that is there already: never a promise."""
    promised = [material.code for material in given if isinstance(material, PromisedMaterial)]
    if promised:
        words = "a promise is made with the application"
        raise InvalidInputError(
            "a promise comes too late", [FieldError(f"materials.{code}", "no_promise", words) for code in promised]
        )
    uploads = await queries.list_uploads(session, upload_ids(given), caller.subject)

    def is_applicants(earlier: Any) -> bool:
        same = earlier.account_id == case.account_id and caller.covers(earlier.matter_id)
        return same and earlier.applicant_id_hash == case.applicant_id_hash

    return await take_materials(session, given, uploads, is_applicants)
