"""Which of the caller's own licences could meet the materials of a personal guide (用证)."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.applications import queries as application_queries
from services.cases.applications.schemas.applications import MatchLicenses
from services.cases.applications.use_cases.apply import checked_guide
from services.cases.applications.use_cases.materials import acts_for_another
from services.cases.licenses import queries as license_queries
from shared import clock
from shared.errors import ForbiddenError
from shared.security.crypto import pseudonym
from shared.security.tokens import Caller

MOST = 200
"""Licences shown at once, the newest first."""


async def match_licenses(
    session: AsyncSession, command: MatchLicenses, caller: Caller, now: datetime
) -> list[dict[str, Any]]:
    """Each material of the guide that asks for a licence, with the caller's valid ones; nobody sees another's."""
    if acts_for_another(caller):
        raise ForbiddenError("only the holder herself sees which licences she has")
    ground = await application_queries.get_application(session, command.matter_id)
    guide = checked_guide(command, ground.matter)
    asked = [
        material for material in guide["materials"] if material["license_type_code"] is not None
    ]
    if not asked:
        return []
    types = {material["license_type_code"] for material in asked}
    holder = pseudonym(command.id_number) if command.id_number else None
    account_id, today = UUID(caller.subject), clock.local_date(now)
    held = await license_queries.list_usable(session, account_id, types, holder, today, MOST)
    return [
        {
            "material_code": material["code"],
            "material_name": material["name"],
            "license_type_code": material["license_type_code"],
            "licenses": [one for one in held if one.type_code == material["license_type_code"]],
        }
        for material in asked
    ]
