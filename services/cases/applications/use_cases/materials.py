"""How given materials become materials of a case, and whether they are complete.

A material is met by an upload, by a material of an earlier case of the same applicant, by a promise
(容缺), or by an e-license (免提交).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.applications import queries as application_queries
from services.cases.applications.queries import EarlierCaseRow, UploadedFile
from services.cases.applications.schemas import (
    EarlierMaterial,
    GivenMaterial,
    LicensedMaterial,
    PromisedMaterial,
    UploadedMaterial,
)
from services.cases.case_file.model.case import Case
from services.cases.case_file.model.materials import (
    FromEarlierCase,
    LicenseCopy,
    LicenseUse,
    Promised,
    StoredMaterial,
    Uploaded,
    file_of,
    gap_days,
)
from shared.domain.guides import PersonalGuide
from shared.domain.workdays import Moment
from shared.errors import FieldError, InvalidInputError
from shared.security.crypto import pseudonym
from shared.security.tokens import Caller, CallerKind


def upload_ids(given: Iterable[GivenMaterial]) -> list[UUID]:
    """The uploads that are named."""
    return [material.upload_id for material in given if isinstance(material, UploadedMaterial)]


def license_ids(given: Iterable[GivenMaterial]) -> list[UUID]:
    """The licenses that are named."""
    return [material.license_id for material in given if isinstance(material, LicensedMaterial)]


def acts_for_another(caller: Caller) -> bool:
    """Whether the caller is a clerk, or an agent under a mandate.

    Who is signed in for her own organisation is the organisation, not its agent.
    """
    if caller.kind is CallerKind.STAFF or caller.mandate is not None:
        return True
    return caller.kind is CallerKind.PERSON and caller.act is not None


def license_use(
    guide: PersonalGuide,
    id_number: str,
    *,
    account_id: UUID | None,
    caller: Caller,
    at: Moment,
) -> LicenseUse:
    """Whose licenses may meet the materials of this guide, and with whose consent."""
    return LicenseUse(
        holder=pseudonym(id_number),
        account_id=account_id,
        for_another=acts_for_another(caller),
        asked={material.code: material.license_type_code for material in guide.materials},
        today=at.today,
    )


@dataclass(frozen=True, slots=True)
class ApplicantMatch:
    """Recognises earlier cases of the same applicant, within an agent's mandate.

    `id_hash`: the keyed hash of the applicant's ID number or USCC.
    """

    account_id: UUID | None
    id_hash: bytes
    caller: Caller

    def owns(self, earlier: EarlierCaseRow) -> bool:
        """Whether the earlier case is the applicant's."""
        if earlier.account_id != self.account_id or earlier.applicant_id_hash != self.id_hash:
            return False
        return self.caller.covers(earlier.matter_id)


@dataclass
class MaterialSources:
    """Where materials can come from.

    Uploads and files of earlier cases are already known to be the applicant's; licenses are checked
    by `use`.
    """

    uploads: Mapping[UUID, UploadedFile]
    licenses: Mapping[UUID, LicenseCopy]
    use: LicenseUse
    earlier_files: dict[tuple[UUID, str], tuple[str, str]] = field(
        default_factory=dict[tuple[UUID, str], tuple[str, str]]
    )

    async def find_earlier(
        self, session: AsyncSession, given: Iterable[GivenMaterial], *, applicant: ApplicantMatch
    ) -> None:
        """Find the files of the earlier cases that are named, if they are the applicant's."""
        ids: set[UUID] = set()
        for material in given:
            if isinstance(material, EarlierMaterial):
                ids.add(material.earlier_case_id)
        if not ids:
            return
        for case in await application_queries.list_earlier_cases(session, ids):
            if not applicant.owns(case):
                continue
            for material in case.materials:
                file = file_of(material)
                if file is not None:
                    self.earlier_files[case.id, material.code] = file

    def resolve(
        self, given: Sequence[GivenMaterial]
    ) -> tuple[list[StoredMaterial], list[FieldError]]:
        """The materials as the case keeps them, and every fault of those that cannot be used."""
        resolved: list[StoredMaterial] = []
        faults: list[FieldError] = []
        for material in given:
            match material:
                case UploadedMaterial():
                    found = self._resolve_upload(material)
                case EarlierMaterial():
                    found = self._resolve_earlier(material)
                case LicensedMaterial():
                    found = self._resolve_license(material)
                case PromisedMaterial():
                    found = Promised(code=material.code)
            if isinstance(found, list):
                faults += found
            else:
                resolved.append(found)
        if len({material.code for material in given}) < len(given):
            faults.append(FieldError("materials", "unique", message="each material is met once"))
        return resolved, faults

    def _resolve_upload(self, material: UploadedMaterial) -> StoredMaterial | list[FieldError]:
        file = self.uploads.get(material.upload_id)
        if file is None:
            place = f"materials.{material.code}.upload_id"
            return [FieldError(place, "own_upload", message="no upload of yours has this id")]
        return Uploaded(code=material.code, digest=file.digest, media_type=file.media_type)

    def _resolve_earlier(self, material: EarlierMaterial) -> StoredMaterial | list[FieldError]:
        file = self.earlier_files.get(material.origin)
        if file is None:
            place = f"materials.{material.code}.earlier_case_id"
            return [
                FieldError(
                    place,
                    "own_case",
                    message="no earlier case of this applicant holds this material",
                )
            ]
        digest, media_type = file
        earlier_case_id, earlier_code = material.origin
        return FromEarlierCase(
            code=material.code,
            digest=digest,
            media_type=media_type,
            earlier_case_id=earlier_case_id,
            earlier_code=earlier_code,
        )

    def _resolve_license(self, material: LicensedMaterial) -> StoredMaterial | list[FieldError]:
        held = self.licenses.get(material.license_id)
        broken = self.use.broken_rules(material.code, held, consent=material.consent)
        if broken:
            place = f"materials.{material.code}.license_id"
            return [FieldError.at(place, rule) for rule in broken]
        assert held is not None
        return held.as_material(material.code, consent=material.consent)


def check_completeness(
    guide: PersonalGuide,
    given: Collection[str],
    *,
    promised: Collection[str],
    promised_days: int,
) -> list[FieldError]:
    """What is wrong with the materials `given` (codes), some of them only `promised`.

    Every material that must be there and is not, every one that nobody asked for, and every promise
    that the guide forbids. `promised_days` are the working days promised for the whole case.
    """
    asked = {material.code: material for material in guide.materials}
    faults: list[FieldError] = []
    for code, material in asked.items():
        if material.necessity in {"1", "3"} and code not in given:
            name = material.name.zh
            fault = FieldError(
                f"materials.{code}", "required", message="{material} is required", material=name
            )
            faults.append(fault)
    for code in sorted(set(given) - set(asked)):
        faults.append(
            FieldError(
                f"materials.{code}",
                "asked",
                message="your personal guide does not ask for this material",
            )
        )
    for code in promised:
        if code in asked and asked[code].necessity != "3":
            faults.append(
                FieldError(
                    f"materials.{code}",
                    "promise_allowed",
                    message="the guide does not let this come later",
                )
            )
        elif gap_days(promised_days) < 1:
            faults.append(
                FieldError(
                    f"materials.{code}",
                    "promise_time",
                    message="the promised time leaves no room for it",
                )
            )
    return faults


async def resolve_additional(
    session: AsyncSession,
    case: Case,
    *,
    given: Sequence[GivenMaterial],
    licenses: Mapping[UUID, LicenseCopy],
    caller: Caller,
    at: Moment,
) -> list[StoredMaterial]:
    """Materials for a case that exists already, where promises are not accepted any more.

    Raises `InvalidInputError` naming each material that cannot be used.
    """
    uploads = await application_queries.list_uploads(
        session, upload_ids(given), owner=caller.subject
    )
    use = license_use(
        case.guide, case.applicant_id_number, account_id=case.account_id, caller=caller, at=at
    )
    sources = MaterialSources(uploads, licenses, use)
    applicant = ApplicantMatch(case.account_id, case.applicant_id_hash, caller)
    await sources.find_earlier(session, given, applicant=applicant)
    resolved, faults = sources.resolve(given)
    for material in given:
        if isinstance(material, PromisedMaterial):
            place = f"materials.{material.code}"
            faults.append(
                FieldError(place, "no_promise", message="a promise is made with the application")
            )
    if faults:
        raise InvalidInputError("the materials cannot be taken", faults)
    return resolved
