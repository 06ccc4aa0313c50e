"""P7: how many events a relay sends to real Kafka, and how many a consumer handles.

The consumer handles them with inbox and effect. Each side is one process.

The outbox is filled beforehand inside PostgreSQL with real events; `shared.messaging.outbox.Relay`
empties it. Then the inbox of this process drains the topic: with a handler for batches (one
statement for its rows), with the real one of assessment, and with a handler for single events.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

import asyncpg
import uvloop
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from bench.data import a_fact
from bench.harness import Figure, Options, at_least, run, say, scratch
from deploy.broker import KafkaBroker
from deploy.postgres import EmbeddedPostgres
from services.assessment.consumer import consumer as assessment
from shared.database import migrations
from shared.database.session import Database
from shared.events.base import seal
from shared.events.cases import CaseReceived
from shared.messaging.bus import Bus
from shared.messaging.consumer import Consumer
from shared.messaging.fact_log import FactLog
from shared.messaging.inbox import Inbox
from shared.messaging.kafka import KafkaBus
from shared.messaging.outbox import Relay

EVENT, CASE = UUID(int=1), UUID(int=2)
"""Stand for the ids that PostgreSQL puts in their place."""
FILL = """
INSERT INTO outbox (topic, key, event_id, payload)
SELECT 'tongban.cases', made.key::text, made.id,
       convert_to(replace(replace($1, '00000000-0000-0000-0000-000000000001', made.id::text),
                          '00000000-0000-0000-0000-000000000002', made.key::text), 'UTF8')
FROM (SELECT uuidv7() AS id, uuidv7() AS key FROM generate_series(1, $2) OFFSET 0) AS made
"""
EFFECT = text("INSERT INTO bench_effect (id) SELECT unnest(CAST(:ids AS uuid[]))")


async def store_all(session: AsyncSession, events: Sequence[CaseReceived]) -> None:
    """The effect: one row for each event, one statement for all."""
    _ = await session.execute(EFFECT, {"ids": [event.case_id for event in events]})


async def store_one(session: AsyncSession, event: CaseReceived) -> None:
    """The effect: one row, one statement."""
    await store_all(session, [event])


async def _open(postgres: EmbeddedPostgres, service: str) -> Database:
    dsn = postgres.dsn(f"tongban_{service}")
    await asyncio.to_thread(asyncio.run, migrations.run_on(dsn, migrations.upgrade, service))
    return Database(dsn, data_key=bytes(32), pool_size=4)


async def _until(work: Awaitable[Any], done: Callable[[], Awaitable[bool]]) -> float:
    """Seconds until `done`, with `work` going on beside."""
    started, task = time.perf_counter(), asyncio.ensure_future(work)
    try:
        async with asyncio.timeout(110):
            while not await done():
                if task.done():
                    await task
                await asyncio.sleep(0.02)
        return time.perf_counter() - started
    finally:
        _ = task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _relay(database: Database, bus: Bus, count: int) -> float:
    """Events a second from the first row claimed to the last one numbered."""
    await bus.ensure_topics(assessment.topics)
    _, payload = seal(a_fact(CASE), EVENT)
    connection = await asyncpg.connect(database.dsn)
    _ = await connection.execute(FILL, payload.decode(), count, timeout=100)
    await FactLog(connection, bus).ensure_months()
    _ = await connection.execute("VACUUM (ANALYZE) outbox")

    async def empty() -> bool:
        return not await connection.fetchval("SELECT EXISTS (SELECT FROM outbox)")

    seconds = await _until(Relay(database, bus).run(), empty)
    await connection.close()
    return count / seconds


async def _consume(database: Database, bus: Bus, consumer: Consumer, count: int) -> float:
    """Events a second from joining the group until all are taken."""
    connection = await asyncpg.connect(database.dsn)
    _ = await connection.execute("TRUNCATE inbox, inbox_position")
    inbox = Inbox(database, bus, consumer=consumer)

    async def all_in() -> bool:
        taken = await connection.fetchval("SELECT coalesce(sum(number), 0) FROM inbox_position")
        return taken >= count

    seconds = await _until(inbox.run(), all_in)
    assert not await connection.fetchval("SELECT count(*) FROM dead_letter")
    await connection.close()
    return count / seconds


def _consumers() -> dict[str, Consumer]:
    batches, single = Consumer("bench-batches"), Consumer("bench-single")
    _ = batches.on_batch(CaseReceived)(store_all)
    _ = single.on(CaseReceived)(store_one)
    return {
        "batch handler, one row each": batches,
        "assessment": assessment,
        "single-event handler": single,
    }


async def _measured(
    postgres: EmbeddedPostgres, kafka: KafkaBroker, options: Options
) -> dict[str, float]:
    count, bus, found = options.pick(30_000, 2_000), KafkaBus(kafka.bootstrap), dict[str, float]()
    source, target = await _open(postgres, "cases"), await _open(postgres, "assessment")
    async with target.transaction() as session:
        _ = await session.execute(text("CREATE TABLE bench_effect (id uuid PRIMARY KEY)"))
    say("the relay, twice: the first warms up the broker")
    _ = await _relay(source, bus, count // 10)
    found["relay"] = await _relay(source, bus, count)
    for name, consumer in _consumers().items():
        say(f"the consumer: {name}")
        async with target.transaction() as session:
            _ = await session.execute(text("TRUNCATE bench_effect"))
        found[name] = await _consume(target, bus, consumer, count + count // 10)
    await source.close()
    await target.close()
    return found


def measure(options: Options) -> Sequence[Figure]:
    with (
        scratch() as folder,
        EmbeddedPostgres(folder / "postgres") as postgres,
        KafkaBroker(folder / "kafka") as kafka,
    ):
        postgres.create_databases(["tongban_cases", "tongban_assessment"])
        found = uvloop.run(_measured(postgres, kafka, options))
    return [
        at_least("relay", found.pop("relay"), "/s", 10_000, 30_000),
        at_least(
            "consumer, batch handler, one row each",
            found.pop("batch handler, one row each"),
            "/s",
            3_000,
            8_000,
        ),
        *(Figure(f"consumer, {name}", rate, "/s") for name, rate in found.items()),
    ]


if __name__ == "__main__":
    run("P7", "relay and consumer throughput, real Kafka, one process each", measure)
