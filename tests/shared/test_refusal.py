"""A service whose database was restored to an earlier moment accepts nothing and does nothing."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import datetime

import pytest
from sqlalchemy import text

from shared.database.session import Database
from shared.messaging import outbox
from shared.messaging.bus import Bus
from shared.messaging.inbox import DatabaseRefusedError, Inbox
from shared.messaging.local_bus import LocalBus
from shared.runtime.refusal import RefusalWatch
from shared.runtime.worker import Timer, Worker
from tests.builders.events import a_fact, a_record
from tests.conftest import ClientFactory, DatabaseFactory, Databases
from tests.shared.test_positions import EFFECTS, TOPIC, a_consumer

REFUSE = text("UPDATE relay_state SET refused = 'restored'")
ACCEPT = text("UPDATE relay_state SET refused = NULL")


async def execute(database: Database, *statements: object) -> None:
    async with database.transaction() as session:
        for statement in statements:
            _ = await session.execute(statement)  # pyright: ignore[reportArgumentType,reportCallIssue]


@pytest.fixture
async def local(databases: Databases) -> AsyncGenerator[Bus]:
    name, url = await databases.empty()
    bus = LocalBus(url)
    await bus.ensure_topics([TOPIC])
    yield bus
    await bus.close()
    await databases.drop(name)


async def publish(database: Database, bus: Bus) -> None:
    async with database.transaction() as session:
        await outbox.add_many(session, [a_fact() for _ in range(3)])
    connection = await database.connect()
    try:
        async with bus.publisher() as publisher:
            relay = outbox.Relay(database, bus, topic=TOPIC)
            _ = await (await relay.begin(connection, publisher)).publish_batch()
    finally:
        await connection.close()


async def test_every_request_is_refused_but_those_of_the_operator(
    client_of: ClientFactory,
) -> None:
    client = await client_of("cases")
    await execute(client.database, REFUSE)
    await client.app.state.refusal.look()

    refused = [
        await client.get("/api/v1/cases/applications", headers={"Accept-Language": "zh"}),
        await client.post("/api/v1/cases/dead-letters/redrives", json={"all": True}),
        await client.get("/nowhere"),
    ]
    answered = [
        await client.get(path)
        for path in ("/healthz", "/readyz", "/metrics", "/api/v1/cases/dead-letters")
    ]

    assert [answer.status_code for answer in refused] == [503] * 3
    assert refused[0].json()["code"] == "database_restored"
    assert "恢复到较早的时刻" in refused[0].json()["detail"]
    assert refused[0].headers["retry-after"] == "60"
    assert [answer.status_code for answer in answered] == [200, 503, 200, 401]
    assert answered[1].json()["checks"]["facts"] is False

    await execute(client.database, ACCEPT)
    await client.app.state.refusal.look()
    assert (await client.get("/nowhere")).status_code == 404


async def test_process_that_starts_finds_the_topic_ahead_before_it_serves(
    local: Bus, database_of: DatabaseFactory
) -> None:
    await publish(await database_of("identity"), local)
    before_all = await database_of("identity")

    watch = RefusalWatch("identity", before_all, bus=local)
    await watch.begin()

    assert watch.reason is not None
    assert "restored to an earlier moment" in watch.reason
    read_model = RefusalWatch(
        "identity", await database_of("identity"), bus=local, rebuildable=True
    )
    await read_model.begin()
    assert read_model.reason is None


async def test_effect_of_a_fact_waits_while_the_database_is_refused(
    database_of: DatabaseFactory,
) -> None:
    database = await database_of("assessment")
    await execute(database, text(EFFECTS), REFUSE)
    inbox = Inbox(database, None, consumer=a_consumer())  # pyright: ignore[reportArgumentType]

    with pytest.raises(DatabaseRefusedError):
        await inbox.take([a_record(a_fact())])

    await execute(database, ACCEPT)
    await inbox.take([a_record(a_fact())])
    async with database.reading() as session:
        assert await session.scalar(text("SELECT count(*) FROM effect")) == 1


async def test_worker_of_a_restored_database_does_nothing_until_it_is_accepted(
    local: Bus, database_of: DatabaseFactory
) -> None:
    await publish(await database_of("identity"), local)
    restored = await database_of("identity")
    await execute(restored, text(EFFECTS))
    ticks: list[datetime] = []

    async def tick(_database: Database, now: datetime) -> None:
        ticks.append(now)

    consumer = a_consumer()
    timers = [Timer("tick", 0.1, tick)]
    worker = Worker("identity", restored, bus=local, consumer=consumer, timers=timers)
    working = asyncio.create_task(worker.run())
    try:
        await asyncio.sleep(3)
        async with restored.reading() as session:
            effects = await session.scalar(text("SELECT count(*) FROM effect"))
        assert (ticks, effects) == ([], 0)

        # As after a restore to the end of the log: the database knows what the topic has.
        await execute(
            restored,
            text("UPDATE relay_position SET number = 3, sent = 3"),
            ACCEPT,
        )
        async with asyncio.timeout(30):
            while not (ticks and effects == 3):
                await asyncio.sleep(0.1)
                async with restored.reading() as session:
                    effects = await session.scalar(text("SELECT count(*) FROM effect"))
    finally:
        _ = working.cancel()
        _ = await asyncio.gather(working, return_exceptions=True)
