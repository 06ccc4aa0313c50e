"""The background half: facts of one service have their effect in another.

Over both buses, and through outages.
"""

import asyncio
import contextlib
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database.session import Database
from shared.events.identity import IdentityVerified
from shared.messaging import outbox
from shared.messaging.bus import Bus
from shared.messaging.consumer import Consumer
from shared.messaging.local_bus import LocalBus
from shared.runtime.worker import Timer, Worker, health_app
from tests.builders.events import a_fact
from tests.conftest import DatabaseFactory, Databases, service_settings

COUNT = text("INSERT INTO seen VALUES (:account, :revision)")


def a_consumer(name: str) -> Consumer:
    consumer = Consumer(name)

    @consumer.on(IdentityVerified)
    async def remember(session: AsyncSession, event: IdentityVerified) -> None:
        _ = await session.execute(
            COUNT, {"account": str(event.account_id), "revision": event.revision}
        )

    return consumer


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def running(*workers: Worker) -> AsyncGenerator[None]:
    tasks = [asyncio.create_task(worker.run()) for worker in workers]
    try:
        yield
    finally:
        for task in tasks:
            _ = task.cancel()
        _ = await asyncio.gather(*tasks, return_exceptions=True)


async def seen(database: Database) -> list[Any]:
    async with database.reading() as session:
        return list(
            await session.execute(text("SELECT account, revision FROM seen ORDER BY revision"))
        )


async def test_facts_travel_from_one_database_to_another(
    bus: Bus, database_of: DatabaseFactory
) -> None:
    source, target = await database_of("assessment"), await database_of("assessment")
    async with target.transaction() as session:
        _ = await session.execute(text("CREATE TABLE seen (account text, revision int)"))
    group = f"group-{id(target)}"
    account = a_fact().account_id

    async with running(
        Worker("identity", source, bus=bus, consumer=Consumer("identity")),
        Worker(group, target, bus=bus, consumer=a_consumer(group)),
    ):
        for revision in range(1, 31):
            async with source.transaction() as session:
                outbox.add(session, a_fact(account, revision=revision))

        async def arrived() -> bool:
            return len([row for row in await seen(target) if row.account == str(account)]) >= 30

        await until(arrived)

    assert [row.revision for row in await seen(target) if row.account == str(account)] == list(
        range(1, 31)
    )


async def test_work_goes_on_after_the_database_dropped_every_connection(
    database_of: DatabaseFactory, databases: Databases
) -> None:
    name, url = await databases.empty()
    bus = LocalBus(url)
    source, target = await database_of("assessment"), await database_of("assessment")
    async with target.transaction() as session:
        _ = await session.execute(text("CREATE TABLE seen (account text, revision int)"))

    async with running(
        Worker("identity", source, bus=bus, consumer=Consumer("identity")),
        Worker("other", target, bus=bus, consumer=a_consumer("other")),
    ):
        await asyncio.sleep(0.3)
        for database in (source, target):
            connection = await database.connect()
            _ = await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            await connection.close()

        async def written() -> bool:
            # Nothing is promised for what runs at that moment; a client gets 503 and repeats.
            with contextlib.suppress(DBAPIError):
                async with source.transaction() as session:
                    outbox.add(session, a_fact(revision=1))
                return True
            return False

        async def arrived() -> bool:
            with contextlib.suppress(DBAPIError):
                return bool(await seen(target))
            return False

        await until(written)

        await until(arrived)
    await bus.close()
    await databases.drop(name)


async def test_timer_runs_again_after_a_fault(
    database_of: DatabaseFactory, databases: Databases
) -> None:
    name, url = await databases.empty()
    bus, database, calls = LocalBus(url), await database_of("assessment"), list[datetime]()

    async def sometimes(_database: Database, now: datetime) -> None:
        calls.append(now)
        if len(calls) == 1:
            raise RuntimeError("the first run fails")

    async with running(
        Worker(
            "assessment",
            database,
            bus=bus,
            consumer=Consumer("assessment"),
            timers=[Timer("sometimes", 0.05, sometimes)],
        )
    ):

        async def called_again() -> bool:
            return len(calls) > 2

        await until(called_again)
    await bus.close()
    await databases.drop(name)

    assert calls[0].tzinfo is not None


async def test_worker_tells_its_health(database_of: DatabaseFactory, databases: Databases) -> None:
    import httpx

    name, url = await databases.empty()
    bus, database = LocalBus(url), await database_of("assessment")
    worker = Worker("assessment", database, bus=bus, consumer=Consumer("assessment"))
    app = health_app(worker, service_settings("assessment", database.dsn))

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://test"
    ) as client:
        alive, ready, measured = [
            await client.get(path) for path in ("/healthz", "/readyz", "/metrics")
        ]
    await bus.close()
    await databases.drop(name)

    assert alive.json() == {"status": "alive", "service": "assessment"}
    assert ready.json()["checks"] == {
        "database": True,
        "migrations": True,
        "facts": True,
        "bus": True,
        "topics": True,
    }
    assert "tongban_" in measured.text


async def test_worker_process_stops_on_sigterm(databases: Databases) -> None:
    import os
    import sys

    from deploy.postgres import free_port
    from tests.conftest import DATA_KEY

    name, url = await databases.fresh("assessment")
    bus_name, bus_url = await databases.empty()
    environment = {
        **os.environ,
        "ASSESSMENT_DATABASE_URL": url,
        "ASSESSMENT_BUS": "local",
        "ASSESSMENT_BUS_DATABASE_URL": bus_url,
        "ASSESSMENT_DATA_KEY": DATA_KEY,
        "ASSESSMENT_PLATFORM_KEY": DATA_KEY,
        "ASSESSMENT_JWKS_URL": "http://127.0.0.1:1/",
        "ASSESSMENT_WORKER_PORT": str(port := free_port()),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.assessment.worker", env=environment
    )

    async def listening() -> bool:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return True
        return False

    await until(listening)
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(15):
        status = await process.wait()
    await databases.drop(name)
    await databases.drop(bus_name)

    assert status == 0


async def test_worker_with_a_period_takes_one_alone_at_once_and_the_others_together(
    database_of: DatabaseFactory, databases: Databases
) -> None:
    name, url = await databases.empty()
    bus, batches = LocalBus(url), list[int]()
    source, target = await database_of("assessment"), await database_of("assessment")
    consumer = Consumer("other", period=1.0)

    @consumer.on_batch(IdentityVerified)
    async def count(_session: AsyncSession, events: Sequence[Any]) -> None:
        batches.append(len(events))

    async def happen() -> None:
        async with source.transaction() as session:
            outbox.add(session, a_fact())

    async def taken() -> bool:
        return sum(batches) == 4

    async with running(
        Worker("identity", source, bus=bus, consumer=Consumer("identity")),
        Worker("other", target, bus=bus, consumer=consumer),
    ):
        await happen()
        async with asyncio.timeout(10):
            while not batches:
                await asyncio.sleep(0.01)
        for _ in range(3):
            await happen()
            await asyncio.sleep(0.02)
        await until(taken)

    assert batches == [1, 3]
    await bus.close()
    await databases.drop(name)
