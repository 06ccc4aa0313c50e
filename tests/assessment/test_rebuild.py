"""The read model is rebuilt from the facts.

When its database is dropped, a running worker fills the new one.
"""

import asyncio
import contextlib
from collections import Counter
from datetime import date
from typing import Any

import asyncpg

from services.assessment import use_cases
from services.assessment.consumer import consumer
from services.assessment.schemas import DailyReportRead
from shared import clock
from shared.database.session import Database
from shared.errors import NotFoundError
from shared.ids import new_id
from shared.messaging import outbox
from shared.messaging.bus import Bus
from shared.messaging.consumer import Consumer
from shared.runtime.worker import Worker
from tests.assessment.test_daily_report import a_finished_case, counters
from tests.conftest import DatabaseFactory, Databases, published


async def test_dropped_database_is_filled_again_under_a_running_worker(
    bus: Bus, databases: Databases, database_of: DatabaseFactory
) -> None:
    name, url = await databases.fresh("assessment")
    source = await database_of("cases")
    database = Database(url, data_key=b"k" * 32, pool_size=5)
    # A department of its own: the broker keeps what other tests told.
    department = f"D-{new_id().hex[-12:]}"
    events = [event for _ in range(20) for event in a_finished_case(new_id(), department)]
    async with source.transaction() as session:
        await outbox.add_many(session, events)
    working = [
        asyncio.create_task(Worker("cases", source, bus=bus, consumer=Consumer("cases")).run()),
        asyncio.create_task(Worker("assessment", database, bus=bus, consumer=consumer).run()),
    ]
    try:
        before = await settled(database, department, 20)
        async with database.transaction() as session:
            frozen = await use_cases.publish_report(
                session, events[0].occurred_at.date(), officer="officer", now=clock.now()
            )
        await empty_outbox(database)

        await databases.drop(name)
        await databases.make(name, "assessment")
        after = await settled(database, department, 20)
        report = await reopened(database, frozen.day)
    finally:
        for task in working:
            _ = task.cancel()
        _ = await asyncio.gather(*working, return_exceptions=True)
        await database.close()
        await databases.drop(name)

    assert after == before
    assert report.model_dump() == frozen.model_dump()


async def settled(database: Database, department: str, closed: int) -> Counter[tuple[Any, ...]]:
    """The department's counters once that many cases are closed.

    It also waits for a database that is being made anew.
    """
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(asyncpg.PostgresError, OSError):
                found = Counter(
                    {
                        cell: n
                        for cell, n in (await counters(database)).items()
                        if cell[2] == department
                    }
                )
                if sum(n for cell, n in found.items() if cell[3] == "cases_closed") == closed:
                    return found
            await asyncio.sleep(0.1)


async def empty_outbox(database: Database) -> None:
    async with asyncio.timeout(30):
        while await published(database):
            await asyncio.sleep(0.05)


async def reopened(database: Database, day: date) -> DailyReportRead:
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(NotFoundError):
                async with database.reading() as session:
                    return await use_cases.show_report(session, day, revision=1)
            await asyncio.sleep(0.1)
