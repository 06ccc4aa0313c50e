"""Time in: due rows lead to use cases, claimed so that any number of replicas may run."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.licenses.use_cases import checks, expiry, jobs, statistics
from shared.database.session import Database


async def expire(database: Database, now: datetime) -> int:
    """All licences whose last day is over, batch by batch, a transaction each; their number."""
    total = 0
    while True:
        async with database.transaction() as session:
            number = await expiry.expire_due(session, now)
        total += number
        if number == 0:
            return total


async def sign(database: Database, now: datetime) -> int:
    """All waiting signing jobs, batch by batch, a transaction each; the number of licences signed."""
    total = 0
    while True:
        async with database.transaction() as session:
            number = await jobs.sign_batch(session, now)
        if number is None:
            return total
        total += number


async def fold(database: Database, _now: datetime) -> None:
    """What was counted since goes into the sums."""
    while True:
        async with database.transaction() as session:
            if await statistics.fold_counts(session) == 0:
                return


async def forget_tries(database: Database, now: datetime) -> None:
    """Budgets of checks of yesterday."""
    async with database.transaction() as session:
        await checks.forget_tries(session, now - timedelta(days=1))


@dataclass(frozen=True, slots=True)
class TimersRan:
    """What one run of the timers did."""

    expired: int
    signed: int


async def run_all(database: Database, now: datetime) -> TimersRan:
    """Every timer once."""
    ran = TimersRan(await expire(database, now), await sign(database, now))
    await fold(database, now)
    return ran
