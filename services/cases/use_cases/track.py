"""Tracking by number and the last four digits of the phone, without signing in.

Four digits are ten thousand guesses, so tries are counted per address and per case number, in a transaction of their own:
a refusal must not undo the count. Addresses and numbers are kept as keyed hashes.
"""

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.cases import queries
from services.cases.model import TrackingTries
from services.cases.schemas import Track
from shared.crypto import decrypt, encrypt, lookup_hash
from shared.errors import NotFoundError, TooManyRequestsError

PHONE = "case_file.phone"
# Always the address first: two requests that share both rows cannot wait for each other crosswise.
COUNT = text(
    "INSERT INTO tracking_tries AS t (key, since, tries) VALUES (:address, :now, 1), (:number, :now, 1)"
    " ON CONFLICT (key) DO UPDATE SET"
    " tries = CASE WHEN t.since <= :expired THEN 1 ELSE t.tries + 1 END,"
    " since = CASE WHEN t.since <= :expired THEN excluded.since ELSE t.since END"
    " RETURNING key, since, tries"
)


@dataclass(frozen=True, slots=True)
class Budget:
    """Tries in a window, per address and per case number."""

    window: timedelta
    per_address: int
    per_number: int


async def count_try(
    session: AsyncSession, command: Track, address: str, budget: Budget, now: datetime
) -> datetime | None:
    """Count one try for this address and this number; until when the caller must wait when a budget is used up."""
    keys = {
        "address": lookup_hash(address, "tracking/address"),
        "number": lookup_hash(command.number, "tracking/number"),
    }
    rows = await session.execute(COUNT, {**keys, "now": now, "expired": now - budget.window})
    allowed = {keys["address"]: budget.per_address, keys["number"]: budget.per_number}
    return max((row.since + budget.window for row in rows if row.tries > allowed[bytes(row.key)]), default=None)


def check_budget(wait_until: datetime | None, now: datetime) -> None:
    """429 with the seconds to wait when the budget is used up."""
    if wait_until is not None:
        seconds = max(1, round((wait_until - now).total_seconds()))
        raise TooManyRequestsError("too many tries; come back later", headers={"Retry-After": str(seconds)})


async def track_case(session: AsyncSession, command: Track) -> Any:
    """What may be shown; a wrong number and a wrong phone get the same answer after the same work."""
    found = await queries.find_tracked(session, command.number)
    sealed = found.sealed_phone if found is not None else encrypt("0" * 11, PHONE)
    is_right = hmac.compare_digest(decrypt(sealed, PHONE)[-4:], command.phone_last4)
    if found is None or not is_right:
        raise NotFoundError("no case with this number and phone")
    return found


async def forget_tries(session: AsyncSession, before: datetime) -> None:
    """Tries of windows long past."""
    _ = await session.execute(delete(TrackingTries).where(TrackingTries.since < before))
