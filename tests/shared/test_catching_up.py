"""A service that begins to listen to a type later gets the facts that it passed over, once."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database.session import Database
from shared.events.identity import AccountRegistered, IdentityVerified
from shared.ids import new_id
from shared.messaging import catching_up, outbox
from shared.messaging.bus import Bus, Place
from shared.messaging.catching_up import CatchingUp
from shared.messaging.consumer import Consumer
from shared.messaging.inbox import Inbox
from shared.messaging.local_bus import LocalBus
from tests.builders.events import a_fact
from tests.conftest import DatabaseFactory, Databases
from tests.shared.test_positions import EFFECTS, RECORD, TOPIC, a_consumer

EVER = datetime(2000, 1, 1, tzinfo=UTC)
TYPE = IdentityVerified.wire_type


def that_ignores_it() -> Consumer:
    """An older release, which listens to another type of the same topic."""
    consumer = Consumer("assessment")

    async def other(session: AsyncSession, event: AccountRegistered) -> None:
        values = {"account": str(event.account_id), "revision": 0, "number": 0}
        _ = await session.execute(RECORD, values)

    _ = consumer.on(AccountRegistered)(other)
    return consumer


@pytest.fixture
async def local(databases: Databases) -> AsyncGenerator[Bus]:
    name, url = await databases.empty()
    bus = LocalBus(url)
    await bus.ensure_topics([TOPIC])
    yield bus
    await bus.close()
    await databases.drop(name)


async def take(database: Database, bus: Bus, consumer: Consumer) -> None:
    """As a worker with this code does from its start on."""
    inbox = Inbox(database, bus, consumer=consumer)
    async with bus.reader() as reader:
        records = await reader.read(Place(TOPIC, 0), 0, limit=1000)
    await inbox.take(records)
    await inbox._positions.save()


async def test_what_was_passed_over_is_given_once_and_in_order(
    local: Bus, database_of: DatabaseFactory
) -> None:
    producer, database = await database_of("identity"), await database_of("assessment")
    async with database.transaction() as session:
        _ = await session.execute(text(EFFECTS))
    accounts = [new_id(), new_id()]
    connection = await producer.connect()
    revision = 0

    async def publish(count: int) -> None:
        nonlocal revision
        for _ in range(count):
            revision += 1
            async with producer.transaction() as session:
                await outbox.add_many(session, [a_fact(key, revision) for key in accounts])
        async with local.publisher() as publisher:
            relay = outbox.Relay(producer, local, topic=TOPIC)
            _ = await (await relay.begin(connection, publisher)).publish_batch()

    listens = a_consumer()
    await take(database, local, listens)
    await publish(2)
    await take(database, local, listens)
    await publish(3)
    await take(database, local, that_ignores_it())
    await publish(1)
    await take(database, local, listens)
    assert await taken(database, accounts[0]) == [1, 2, 6]

    assert await catching_up.request(database, TYPE, topic=TOPIC, since=EVER) == 1
    catching = CatchingUp(database, local, consumer=listens)
    while await catching.give_some():
        pass
    # It waits behind those of its key that were given.
    await publish(1)
    await take(database, local, listens)
    inbox = Inbox(database, local, consumer=listens)
    while await inbox.retry_one():
        pass

    for account in accounts:
        assert await taken(database, account) == [1, 2, 6, 3, 4, 5, 7]
    assert await catching_up.request(database, TYPE, topic=TOPIC, since=EVER) == 1
    while await catching.give_some() or await inbox.retry_one():
        pass
    assert await taken(database, accounts[0]) == [1, 2, 6, 3, 4, 5, 7]
    unknown = "tongban.identity.other.v1"
    assert await catching_up.request(database, unknown, topic=TOPIC, since=EVER) == 0
    await connection.close()


async def taken(database: Database, account: object) -> list[int]:
    async with database.reading() as session:
        found = await session.execute(
            text("SELECT revision FROM effect WHERE account = :account ORDER BY position"),
            {"account": str(account)},
        )
        return list(found.scalars())
