"""What time leads to. Rows are claimed, so that any number of replicas may run these timers."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.cases.calendar import use_cases as calendar
from services.cases.case_file import use_cases as case_file
from services.cases.handling.use_cases import deemed_acceptance, lights
from services.cases.handling.use_cases.lights import LightChanges
from shared.database.session import Database

ATTEMPTS_KEPT = timedelta(days=1)
"""How long attempts to track a case are counted at most."""


async def deem_accepted(database: Database, now: datetime) -> int:
    """Accept all silent cases, batch by batch in a transaction each; their number."""
    total = 0
    while True:
        # A transaction for each batch: officers do not wait long for the locks of the timer.
        async with database.transaction() as session:
            count = await deemed_acceptance.deem_accepted(session, now)
        total += count
        if count == 0:
            return total


async def update_lights(database: Database, now: datetime) -> LightChanges:
    """Update the lights of every case whose day has come, batch by batch in a transaction each."""
    total = LightChanges()
    while True:
        async with database.transaction() as session:
            batch = await lights.update_due_lights(session, now)
        total = LightChanges(
            cases=total.cases + batch.cases,
            raised=total.raised + batch.raised,
            cleared=total.cleared + batch.cleared,
        )
        if batch.cases == 0:
            return total


@dataclass(frozen=True, slots=True)
class ClockRun:
    """What one run of the clocks did: number of cases and lights."""

    deemed_accepted: int
    lights_raised: int
    lights_cleared: int


async def run_clocks(database: Database, now: datetime) -> ClockRun:
    """Deem silent cases accepted, then update the lights, which depend on that."""
    deemed = await deem_accepted(database, now)
    changes = await update_lights(database, now)
    return ClockRun(deemed, changes.raised, changes.cleared)


async def follow_calendar(database: Database, now: datetime) -> None:
    """Finish what changes of the calendar began, with a second pass a little later."""
    async with database.reading() as session:
        change_ids = await calendar.list_unfinished(session, now)
    for change_id in change_ids:
        more = True
        while more:
            async with database.transaction() as session:
                more = await calendar.follow_change(session, change_id, now=now, passes=2)


async def forget_tracking_attempts(database: Database, now: datetime) -> None:
    """Delete old attempts to track a case."""
    async with database.transaction() as session:
        await case_file.forget_attempts(session, now - ATTEMPTS_KEPT)
