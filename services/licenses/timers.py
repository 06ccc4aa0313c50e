"""Timers: each runs its use case batch by batch, one transaction each.

Batches are claimed with row locks, so any number of replicas may run.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.licenses.use_cases import checks, expiry, jobs, statistics
from shared.database.session import Database

TRIES_KEPT = timedelta(days=1)


async def expire(database: Database, now: datetime) -> int:
    """Expire all licenses whose last day is over; their number."""
    total = 0
    while True:
        async with database.transaction() as session:
            number = await expiry.expire_due(session, now)
        total += number
        if number == 0:
            return total


async def sign(database: Database, now: datetime) -> int:
    """Work on all waiting signing jobs; the number of licenses signed."""
    total = 0
    while True:
        async with database.transaction() as session:
            number = await jobs.sign_batch(session, now)
        if number is None:
            return total
        total += number


async def fold(database: Database, _now: datetime) -> None:
    """Add all waiting counts to the sums."""
    while True:
        async with database.transaction() as session:
            if await statistics.fold_counts(session) == 0:
                return


async def forget_tries(database: Database, now: datetime) -> None:
    """Delete attempts at checks of windows long past."""
    async with database.transaction() as session:
        await checks.forget_tries(session, now - TRIES_KEPT)


@dataclass(frozen=True, slots=True)
class TimersRan:
    """How many licenses one run of the timers expired and signed."""

    expired: int
    signed: int


async def run_all(database: Database, now: datetime) -> TimersRan:
    """Every timer once."""
    expired = await expire(database, now)
    signed = await sign(database, now)
    await fold(database, now)
    return TimersRan(expired, signed)
