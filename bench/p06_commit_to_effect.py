"""P6: from the commit in one service to the committed effect in another.

Over real Kafka, at 100 events a second.

Facts are committed into the outbox of cases at a steady pace; the running relay, broker and
consumer carry them into assessment. Both moments are PostgreSQL's own commit times
(`track_commit_timestamp`) of one server and clock, to the microsecond: no polling, no clock of
ours. The measured span holds the flush of the first commit, not of the second.

A moment on the way tells where the time goes: the one at which the relay, after it numbered the
event, gave it to the producer (the record's own time on the topic, in whole milliseconds).
"""

import asyncio
import base64
import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import uvloop
from aiokafka import AIOKafkaConsumer
from sqlalchemy import text

from bench.data import a_fact
from bench.harness import Figure, Options, at_most, run
from bench.load import percentile
from bench.p02_cpu_per_create import drained
from bench.seed_data import running_stack
from deploy.stack import Stack
from shared.database.session import Database
from shared.events.base import parse_envelope, topic_of
from shared.ids import new_id
from shared.messaging import outbox

RATE = 100
MARK = text("INSERT INTO bench_mark VALUES (:id)")


async def _commit_one(database: Database) -> None:
    case_id = new_id()
    async with database.transaction() as session:
        outbox.add(session, a_fact(case_id))
        _ = await session.execute(MARK, {"id": case_id})


async def _commit_steadily(database: Database, count: int) -> None:
    """One commit every hundredth of a second, whether the one before has answered or not."""
    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            await asyncio.sleep(max(0.0, begun + number / RATE - time.perf_counter()))
            _ = group.create_task(_commit_one(database))


COMMITTED = "pg_xact_commit_timestamp(xmin)"


async def _moments(dsn: str, table: str, column: str) -> dict[UUID, float]:
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(
            f"SELECT {column} AS id, extract(epoch FROM {COMMITTED})::float8 AS at FROM {table}"
        )
    finally:
        await connection.close()
    return {row["id"]: row["at"] for row in rows}


async def _on_the_topic(stack: Stack, count: int) -> dict[UUID, float]:
    """Key → the record's time, of the first `count` facts on the topic."""
    found: dict[UUID, float] = {}
    topic = topic_of("cases")
    async with AIOKafkaConsumer(
        topic, bootstrap_servers=stack.kafka.bootstrap, auto_offset_reset="earliest"
    ) as consumer:
        while len(found) < count:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                for record in records:
                    envelope = parse_envelope(record.value)
                    found[UUID(envelope.key)] = record.timestamp / 1000
    return found


@dataclass(frozen=True, slots=True)
class Span:
    """Milliseconds from the first commit to the effect, and of the two legs between."""

    whole: float
    legs: tuple[float, float]


LEGS = ("commit → handed to the producer", "→ effect committed")


async def _spans(stack: Stack, options: Options) -> list[Span]:
    """Without the first seconds in which everything warms up."""
    source, count, warm = (
        stack.postgres.dsn("tongban_cases"),
        options.pick(2000, 200),
        options.pick(500, 50),
    )
    database = Database(source, data_key=base64.b64decode(stack.folder.key("data")), pool_size=4)
    async with database.transaction() as session:
        _ = await session.execute(text("CREATE TABLE bench_mark (id uuid PRIMARY KEY)"))
    try:
        await _commit_steadily(database, count + warm)
    finally:
        await database.close()
    await drained(stack, count + warm)
    committed = await _moments(source, "bench_mark", "id")
    effects = await _moments(stack.postgres.dsn("tongban_assessment"), "case_record", "case_id")
    sent = await _on_the_topic(stack, count + warm)
    late = sorted(committed, key=lambda case_id: committed[case_id])[warm:]
    return [_span(committed[key], sent[key], effects[key]) for key in late]


def _span(*moments: float) -> Span:
    first, sent, last = (1000 * moment for moment in moments)
    return Span(last - first, (sent - first, last - sent))


def measure(options: Options) -> Sequence[Figure]:
    with running_stack({"track_commit_timestamp": "on"}) as stack:
        found = uvloop.run(_spans(stack, options))
    spans = [span.whole for span in found]
    return [
        at_most("p50", percentile(spans, 0.5), "ms", 10, 4),
        at_most("p99", percentile(spans, 0.99), "ms", 50, 15),
        Figure("largest", max(spans), "ms"),
        Figure("smallest", min(spans), "ms"),
        Figure("events measured", len(spans), ""),
        *(
            Figure(
                f"p50 of the leg {name}",
                percentile([span.legs[place] for span in found], 0.5),
                "ms",
            )
            for place, name in enumerate(LEGS)
        ),
    ]


if __name__ == "__main__":
    run("P6", "commit in cases → effect committed in assessment, real Kafka, 100 events/s", measure)
