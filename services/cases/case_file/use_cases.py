"""Tracking a case by its number and the last four digits of the phone, without signing in.

Four digits have ten thousand values, so attempts are counted (`shared.database.guess_limits`).
"""

import hmac
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.case_file import queries
from services.cases.case_file.model.tracking import TrackingTries
from services.cases.case_file.queries import TrackedRow
from services.cases.case_file.schemas import Track
from shared.database import guess_limits
from shared.database.guess_limits import Guess, GuessLimit
from shared.errors import NotFoundError
from shared.security.crypto import decrypt, encrypt

PHONE_PURPOSE = "case_file.phone"
NO_PHONE = "0" * 11


async def track_case(
    session: AsyncSession, command: Track, *, address: str, budget: GuessLimit, now: datetime
) -> TrackedRow:
    """The case, if the digits are those of its applicant's phone.

    Raises `NotFoundError` for a wrong number and for a wrong phone alike.
    """
    case = await queries.find_tracked(session, Guess(command.number, address, budget, now))
    # The same work for a number that does not exist, so that the time of an answer says nothing.
    sealed_phone = encrypt(NO_PHONE, purpose=PHONE_PURPOSE)
    if case is not None:
        sealed_phone = case.sealed_phone
    last_digits = decrypt(sealed_phone, PHONE_PURPOSE)[-4:]
    # In constant time, for the same reason.
    is_right_phone = hmac.compare_digest(last_digits, command.phone_last4)
    if case is None or not is_right_phone:
        raise NotFoundError("no case with this number and phone")
    return case


async def forget_attempts(session: AsyncSession, before: datetime) -> None:
    """Delete the counts of windows that began before that time."""
    await guess_limits.forget_guesses(session, TrackingTries, before=before)
