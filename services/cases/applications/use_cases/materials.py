"""What meets a material: an upload, an earlier case's material of the same applicant, a promise (容缺), an e-licence (免提交)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.applications import queries as application_queries
from services.cases.applications.schemas.materials import (
    EarlierMaterial,
    GivenMaterial,
    LicensedMaterial,
    PromisedMaterial,
    UploadedMaterial,
)
from services.cases.case_file.model.case import Case
from services.cases.case_file.model.license_copies import LicenseCopy, Use
from services.cases.case_file.model.materials import is_file
from shared.domain.workdays import Moment
from shared.errors import FieldError, InvalidInputError
from shared.security.crypto import pseudonym
from shared.security.tokens import Caller

Uploads = Mapping[UUID, tuple[str, str]]
"""Digest and media type of uploads by id."""
Licenses = Mapping[UUID, LicenseCopy]
IsApplicants = Callable[[Any], bool]
"""Whether an earlier case, as `queries.list_earlier` gives it, is the same applicant's and within an agent's mandate."""


def upload_ids(given: Iterable[GivenMaterial]) -> list[UUID]:
    """The uploads that are named."""
    return [material.upload_id for material in given if isinstance(material, UploadedMaterial)]


def license_ids(given: Iterable[GivenMaterial]) -> list[UUID]:
    """The licences that are named."""
    return [material.license_id for material in given if isinstance(material, LicensedMaterial)]


def acts_for_another(caller: Caller) -> bool:
    """An agent under a mandate, or a clerk; who is signed in for her own organisation is the organisation."""
    return (
        caller.kind == "staff"
        or caller.mandate is not None
        or (caller.kind == "person" and caller.act is not None)
    )


def use_of(
    guide: Mapping[str, Any], id_number: str, account_id: UUID | None, caller: Caller, at: Moment
) -> Use:
    """Whose licences may meet the materials of this personal guide, and on whose word."""
    asked = {material["code"]: material["license_type_code"] for material in guide["materials"]}
    return Use(pseudonym(id_number), account_id, acts_for_another(caller), asked, at.today)


@dataclass
class Sources:
    """What materials can be taken from, each already known to be the applicant's, but for licences: `use` judges those."""

    uploads: Uploads
    licenses: Licenses
    use: Use
    earlier: dict[tuple[UUID, str], dict[str, Any]] = field(
        default_factory=dict[tuple[UUID, str], dict[str, Any]]
    )

    async def find_earlier(
        self, session: AsyncSession, given: Iterable[GivenMaterial], is_applicants: IsApplicants
    ) -> None:
        """The files of the earlier cases that are named, if they are the applicant's."""
        ids = {
            material.earlier_case_id for material in given if isinstance(material, EarlierMaterial)
        }
        known = await application_queries.list_earlier(session, ids) if ids else []
        self.earlier = {
            (case.id, m["code"]): m
            for case in known
            if is_applicants(case)
            for m in case.materials
            if is_file(m)
        }

    def take(self, given: Sequence[GivenMaterial]) -> tuple[list[dict[str, Any]], list[FieldError]]:
        """The materials as the case keeps them, and every fault of those that cannot be taken."""
        taken: list[dict[str, Any]] = []
        faults: list[FieldError] = []
        for material in given:
            faults += (found := self._faults(material))
            if not found:
                taken.append(
                    {"code": material.code, "kind": material.kind, **self._source(material)}
                )
        if len({material.code for material in given}) < len(given):
            faults.append(FieldError("materials", "unique", "each material is met once"))
        return taken, faults

    def _faults(self, material: GivenMaterial) -> list[FieldError]:
        place = f"materials.{material.code}"
        match material:
            case UploadedMaterial() if material.upload_id not in self.uploads:
                return [
                    FieldError(f"{place}.upload_id", "own_upload", "no upload of yours has this id")
                ]
            case EarlierMaterial() if _origin(material) not in self.earlier:
                words = "no earlier case of this applicant holds this material"
                return [FieldError(f"{place}.earlier_case_id", "own_case", words)]
            case LicensedMaterial():
                held = self.licenses.get(material.license_id)
                found = self.use.faults(material.code, held, consent=material.consent)
                return [FieldError(f"{place}.license_id", rule, words) for rule, words in found]
            case _:
                return []

    def _source(self, material: GivenMaterial) -> dict[str, Any]:
        match material:
            case UploadedMaterial():
                digest, media_type = self.uploads[material.upload_id]
                return {"digest": digest, "media_type": media_type}
            case EarlierMaterial():
                (case_id, code), found = _origin(material), self.earlier[_origin(material)]
                origin = {"earlier_case_id": str(case_id), "earlier_code": code}
                return {"digest": found["digest"], "media_type": found["media_type"], **origin}
            case LicensedMaterial():
                return self.licenses[material.license_id].snapshot(consent=material.consent)
            case PromisedMaterial():
                return {}


def _origin(material: EarlierMaterial) -> tuple[UUID, str]:
    return material.earlier_case_id, material.earlier_code or material.code


async def take_more(
    session: AsyncSession,
    case: Case,
    given: Sequence[GivenMaterial],
    licenses: Licenses,
    caller: Caller,
    at: Moment,
) -> list[dict[str, Any]]:
    """Materials brought to a case that is there already, never a promise; 400 naming each that cannot be taken."""
    uploads = await application_queries.list_uploads(session, upload_ids(given), caller.subject)
    use = use_of(case.guide, case.applicant_id_number, case.account_id, caller, at)
    sources = Sources(uploads, licenses, use)

    def is_applicants(earlier: Any) -> bool:
        same = earlier.account_id == case.account_id and caller.covers(earlier.matter_id)
        return same and earlier.applicant_id_hash == case.applicant_id_hash

    await sources.find_earlier(session, given, is_applicants)
    taken, faults = sources.take(given)
    words = "a promise is made with the application"
    promised = [material.code for material in given if isinstance(material, PromisedMaterial)]
    faults += [FieldError(f"materials.{code}", "no_promise", words) for code in promised]
    if faults:
        raise InvalidInputError("the materials cannot be taken", faults)
    return taken
