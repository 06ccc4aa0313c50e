"""The outbox: written with the change, published in order per key, deleted when the bus has it."""

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text

from shared import context
from shared.context import Context
from shared.database.session import Database
from shared.events.base import parse_envelope
from shared.ids import new_id
from shared.messaging import outbox
from shared.messaging.bus import FactNumber, Message
from shared.messaging.fact_log import FactLog
from tests.builders.events import a_fact
from tests.conftest import DatabaseFactory, published


class Recorder:
    """A publisher that remembers, and fails as often as it is told."""

    def __init__(self, failures: int = 0) -> None:
        self.messages: list[Message] = []
        self.failures = failures

    async def publish(self, messages: Sequence[Message]) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("bus away")
        self.messages += messages


class OnePartition:
    """As much of a bus as numbering needs."""

    async def partitions(self, _topic: str) -> int:
        return 1


def publishing(
    connection: asyncpg.Connection, publisher: Recorder, **options: Any
) -> outbox.Publishing:
    facts = FactLog(connection, OnePartition())  # pyright: ignore[reportArgumentType]
    return outbox.Publishing(connection, publisher, facts=facts, **options)


async def fact_log(database: Database) -> list[Any]:
    async with database.reading() as session:
        return list(
            await session.execute(text("SELECT * FROM fact_log ORDER BY topic, partition, number"))
        )


async def test_event_is_there_only_when_the_transaction_commits(
    database_of: DatabaseFactory,
) -> None:
    database = await database_of("assessment")

    async with database.transaction() as session:
        outbox.add(session, a_fact())
    with pytest.raises(RuntimeError):
        async with database.transaction() as session:
            outbox.add(session, a_fact())
            await session.flush()
            raise RuntimeError("the business change fails")

    assert len(await published(database)) == 1


async def test_event_carries_who_caused_it(database_of: DatabaseFactory) -> None:
    database = await database_of("assessment")
    account = new_id()

    with context.using(Context(actor="officer-1", request_id="request-1", causation="event-0")):
        async with database.transaction() as session:
            outbox.add(session, a_fact(account, revision=7))
    (envelope,) = await published(database)

    assert (envelope.key, envelope.revision, envelope.type) == (
        str(account),
        7,
        "tongban.identity.identity-verified.v1",
    )
    assert (envelope.actor, envelope.correlation, envelope.causation) == (
        "officer-1",
        "request-1",
        "event-0",
    )


async def test_relay_publishes_in_order_and_deletes(database_of: DatabaseFactory) -> None:
    database = await database_of("assessment")
    account = new_id()
    async with database.transaction() as session:
        await outbox.add_many(
            session, [a_fact(account, revision=number) for number in range(1, 26)]
        )
    publisher, connection = Recorder(), await database.connect()
    relay = publishing(connection, publisher, batch=10)

    sizes = [await relay.publish_batch() for _ in range(4)]
    await connection.close()

    assert sizes == [10, 10, 5, 0]
    assert [parse_envelope(m.value).revision for m in publisher.messages] == list(range(1, 26))
    assert {m.key for m in publisher.messages} == {str(account)}
    assert await published(database) == []


async def test_relay_sends_what_the_bus_refused_again_with_its_number(
    database_of: DatabaseFactory,
) -> None:
    database = await database_of("assessment")
    async with database.transaction() as session:
        outbox.add(session, a_fact())
    publisher, connection = Recorder(failures=1), await database.connect()
    relay = publishing(connection, publisher)

    with pytest.raises(ConnectionError):
        _ = await relay.publish_batch()
    (kept,) = await fact_log(database)
    again = await relay.publish_batch()
    await connection.close()

    (message,) = publisher.messages
    assert (again, kept.number, message.number) == (1, 1, FactNumber(0, 1))
    assert message.value == kept.payload


async def test_another_relay_sends_what_was_numbered_and_not_sent(
    database_of: DatabaseFactory,
) -> None:
    database = await database_of("assessment")
    async with database.transaction() as session:
        await outbox.add_many(session, [a_fact(revision=n) for n in (1, 2, 3)])
    publisher, connection = Recorder(failures=1), await database.connect()
    with pytest.raises(ConnectionError):
        _ = await publishing(connection, publisher).publish_batch()
    async with database.transaction() as session:
        outbox.add(session, a_fact(revision=4))

    relay = publishing(connection, publisher)
    await relay.facts.load({"tongban.identity"})
    sent = await relay.publish_batch()
    await connection.close()

    assert sent == 4
    assert [m.number for m in publisher.messages] == [FactNumber(0, n) for n in (1, 2, 3, 4)]
    assert [parse_envelope(m.value).revision for m in publisher.messages] == [1, 2, 3, 4]


async def test_events_of_a_key_are_counted_and_facts_without_a_gap(
    database_of: DatabaseFactory,
) -> None:
    database = await database_of("assessment")
    first, second = new_id(), new_id()
    publisher, connection = Recorder(), await database.connect()
    relay = publishing(connection, publisher, batch=3)
    async with database.transaction() as session:
        # Two facts of one act share their revision.
        events = [a_fact(key, revision=1) for key in (first, first, second, first, second)]
        await outbox.add_many(session, events)

    while await relay.publish_batch():
        pass
    await connection.close()

    assert [m.event_number for m in publisher.messages] == [1, 2, 1, 3, 2]
    rows = await fact_log(database)
    assert [row.number for row in rows] == [row.sequence for row in rows] == [1, 2, 3, 4, 5]


async def test_relay_sees_a_row_that_commits_late_with_an_early_position(
    database_of: DatabaseFactory,
) -> None:
    database = await database_of("assessment")
    late = await database.connect()
    transaction = late.transaction()
    await transaction.start()
    _ = await late.execute(
        "INSERT INTO outbox (topic, key, event_id, payload) VALUES ('t', 'late', $1, $2)",
        new_id(),
        b"{}",
    )
    async with database.transaction() as session:
        outbox.add(session, a_fact())
    publisher, connection = Recorder(), await database.connect()
    relay = publishing(connection, publisher)

    first = await relay.publish_batch()
    await transaction.commit()
    second = await relay.publish_batch()
    await late.close()
    await connection.close()

    assert (first, second) == (1, 1)
    assert publisher.messages[1].key == "late"


async def test_commit_notifies_the_relay(database_of: DatabaseFactory) -> None:
    database = await database_of("assessment")
    heard = asyncio.Event()
    connection = await database.connect()
    await connection.add_listener(outbox.CHANNEL, lambda *_: heard.set())

    async with database.transaction() as session:
        outbox.add(session, a_fact())

    async with asyncio.timeout(5):
        assert await heard.wait()
    await connection.close()


async def test_event_too_large_for_the_bus_is_refused_in_the_transaction(
    database_of: DatabaseFactory,
) -> None:
    database = await database_of("assessment")

    with pytest.raises(ValueError, match="at most"):
        async with database.transaction() as session:
            outbox.add(session, a_fact(method="x" * 1_000_000))

    assert await published(database) == []


async def test_only_one_relay_leads(database_of: DatabaseFactory) -> None:
    database = await database_of("assessment")
    first: asyncpg.Connection = await database.connect()
    second: asyncpg.Connection = await database.connect()
    take = "SELECT pg_try_advisory_lock($1)"

    leads = [
        await first.fetchval(take, outbox.LEADER_LOCK),
        await second.fetchval(take, outbox.LEADER_LOCK),
    ]
    await first.close()
    taken_over = await second.fetchval(take, outbox.LEADER_LOCK)
    await second.close()

    assert leads == [True, False]
    assert taken_over
