"""Time in: due rows lead to use cases, claimed so that any number of replicas may run."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.cases.calendar_changes import use_cases as calendar_changes
from services.cases.case_file import use_cases as case_file
from services.cases.handling.use_cases import deemed_acceptance, lights
from services.cases.handling.use_cases.lights import Settled
from shared.database.session import Database


async def deem_accepted(database: Database, now: datetime) -> int:
    """All silent cases, batch by batch, a transaction each; their number."""
    total = 0
    while True:
        async with database.transaction() as session:
            number = await deemed_acceptance.deem_accepted(session, now)
        total += number
        if number == 0:
            return total


async def settle_lights(database: Database, now: datetime) -> Settled:
    """Lights of every case whose day has come, batch by batch, a transaction each."""
    total = Settled()
    while True:
        async with database.transaction() as session:
            batch = await lights.settle_due(session, now)
        total = Settled(
            total.cases + batch.cases, total.raised + batch.raised, total.cleared + batch.cleared
        )
        if batch.cases == 0:
            return total


@dataclass(frozen=True, slots=True)
class ClockRun:
    """What one run of the clocks did."""

    deemed_accepted: int
    lights_raised: int
    lights_cleared: int


async def run_clocks(database: Database, now: datetime) -> ClockRun:
    """视为受理 first: it changes which lights must burn."""
    deemed = await deem_accepted(database, now)
    settled = await settle_lights(database, now)
    return ClockRun(deemed, settled.raised, settled.cleared)


async def follow_calendar(database: Database, now: datetime) -> None:
    """Finish what a change of the calendar began, and look a second time a little later."""
    async with database.reading() as session:
        changes = await calendar_changes.list_unfinished(session, now)
    for change_id in changes:
        more = True
        while more:
            async with database.transaction() as session:
                more = await calendar_changes.follow_change(session, change_id, now, passes=2)


async def forget_tries(database: Database, now: datetime) -> None:
    """Tracking budgets of yesterday."""
    async with database.transaction() as session:
        await case_file.forget_tries(session, now - timedelta(days=1))
