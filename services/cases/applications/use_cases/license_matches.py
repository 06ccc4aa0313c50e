"""Which of the caller's own licenses could meet the materials of a personal guide (用证)."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.applications import queries as application_queries
from services.cases.applications.schemas import LicenseMatch, MatchLicenses, UsableLicense
from services.cases.applications.use_cases.apply import checked_guide
from services.cases.applications.use_cases.materials import acts_for_another
from services.cases.case_file.model.materials import LicenseCopy
from services.cases.licenses import queries as license_queries
from shared import clock
from shared.errors import ForbiddenError
from shared.security.crypto import pseudonym
from shared.security.tokens import Caller

MOST_LICENSES = 200
"""Licenses shown at once, the newest first."""


async def match_licenses(
    session: AsyncSession, command: MatchLicenses, *, caller: Caller, now: datetime
) -> list[LicenseMatch]:
    """Each material of the guide that asks for a license, with the caller's valid ones.

    Raises `ForbiddenError` for whoever acts for somebody else.
    """
    if acts_for_another(caller):
        raise ForbiddenError("only the holder herself sees which licenses she has")
    inputs = await application_queries.get_inputs(session, command.matter_id)
    guide = checked_guide(command, inputs.matter)
    type_codes: set[str] = set()
    for material in guide.materials:
        if material.license_type_code is not None:
            type_codes.add(material.license_type_code)
    if not type_codes:
        return []
    holder: str | None = None
    if command.id_number:
        holder = pseudonym(command.id_number)
    licenses = await license_queries.list_usable(
        session,
        UUID(caller.subject),
        type_codes=type_codes,
        holder=holder,
        today=clock.local_date(now),
        limit=MOST_LICENSES,
    )
    matches: list[LicenseMatch] = []
    for material in guide.materials:
        if material.license_type_code is not None:
            match = LicenseMatch(
                material_code=material.code,
                material_name=material.name,
                license_type_code=material.license_type_code,
                licenses=_of_type(licenses, material.license_type_code),
            )
            matches.append(match)
    return matches


def _of_type(licenses: Iterable[LicenseCopy], type_code: str) -> list[UsableLicense]:
    usable: list[UsableLicense] = []
    for copy in licenses:
        if copy.type_code == type_code:
            shown = UsableLicense(
                license_id=copy.license_id,
                type_name=copy.type_name,
                number=copy.number,
                trust=copy.trust,
                valid_until=copy.valid_until,
            )
            usable.append(shown)
    return usable
