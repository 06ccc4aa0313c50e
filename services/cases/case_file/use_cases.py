"""Tracking by number and the last four digits of the phone, without signing in.

Four digits are ten thousand guesses, so tries are counted (`shared.database.guess_limits`).
"""

import hmac
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.case_file import queries
from services.cases.case_file.model.tracking import TrackingTries
from services.cases.case_file.schemas import Track
from shared.database import guess_limits
from shared.database.guess_limits import Budget, Try
from shared.errors import NotFoundError
from shared.security.crypto import decrypt, encrypt

PHONE = "case_file.phone"


async def track_case(
    session: AsyncSession, command: Track, address: str, budget: Budget, now: datetime
) -> Any:
    """What may be shown; a wrong number and a wrong phone get the same answer after the same work, and count alike."""
    found = await queries.find_tracked(session, Try(command.number, address, budget, now))
    sealed = found.sealed_phone if found is not None else encrypt("0" * 11, PHONE)
    is_right = hmac.compare_digest(decrypt(sealed, PHONE)[-4:], command.phone_last4)
    if found is None or not is_right:
        raise NotFoundError("no case with this number and phone")
    return found


async def forget_tries(session: AsyncSession, before: datetime) -> None:
    """Tries of windows long past."""
    await guess_limits.forget_tries(session, TrackingTries, before)
