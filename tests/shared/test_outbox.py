"""The outbox: written with the change, published in order per key, deleted when the bus has it."""

import asyncio
from collections.abc import Sequence

import asyncpg
import pytest

from shared import context
from shared.context import Context
from shared.events.base import parse_envelope
from shared.ids import new_id
from shared.messaging import outbox
from shared.messaging.bus import Message
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
    publisher, relay = Recorder(), outbox.Relay(database, bus=None, batch=10)  # pyright: ignore[reportArgumentType]
    connection = await database.connect()

    sizes = [await relay.publish_batch(connection, publisher) for _ in range(4)]
    await connection.close()

    assert sizes == [10, 10, 5, 0]
    assert [parse_envelope(m.value).revision for m in publisher.messages] == list(range(1, 26))
    assert {m.key for m in publisher.messages} == {str(account)}
    assert await published(database) == []


async def test_relay_keeps_rows_that_the_bus_refused(database_of: DatabaseFactory) -> None:
    database = await database_of("assessment")
    async with database.transaction() as session:
        outbox.add(session, a_fact())
    publisher, relay = Recorder(failures=1), outbox.Relay(database, bus=None)  # pyright: ignore[reportArgumentType]
    connection = await database.connect()

    with pytest.raises(ConnectionError):
        _ = await relay.publish_batch(connection, publisher)
    kept = await published(database)
    again = await relay.publish_batch(connection, publisher)
    await connection.close()

    assert (len(kept), again, len(publisher.messages)) == (1, 1, 1)


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
    publisher, relay = Recorder(), outbox.Relay(database, bus=None)  # pyright: ignore[reportArgumentType]
    connection = await database.connect()

    first = await relay.publish_batch(connection, publisher)
    await transaction.commit()
    second = await relay.publish_batch(connection, publisher)
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
