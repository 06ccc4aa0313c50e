"""Tracking by number and the last four digits of the phone, without signing in."""

import hmac

from sqlalchemy.ext.asyncio import AsyncSession

from services.cases import queries
from services.cases.model import Case
from services.cases.schemas import Track
from shared.errors import NotFoundError


async def track_case(session: AsyncSession, command: Track) -> Case:
    """The case; a wrong number and a wrong phone get the same answer."""
    case = await queries.find_by_number(session, command.number)
    known = case.phone[-4:] if case is not None else "----"
    if not hmac.compare_digest(known, command.phone_last4) or case is None:
        raise NotFoundError("no case with this number and phone")
    return case
