"""Numbers and positions: what a restore, a lost topic or deleted offsets must not lose or double.

Every test runs on both buses. An effect is a row in the consumer's database, so that its rows are
what was taken, in order.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from deploy.broker import KafkaBroker
from shared.database.session import Database
from shared.events.base import Event, seal, topic_of
from shared.events.identity import IdentityVerified
from shared.ids import new_id
from shared.messaging import outbox
from shared.messaging.bus import Bus, Message, Publisher
from shared.messaging.consumer import Consumer
from shared.messaging.fact_log import FactLog, RefusedError, note_refusal, request_refill
from shared.messaging.inbox import Inbox
from shared.messaging.kafka import KafkaBus
from shared.messaging.local_bus import LocalBus
from shared.messaging.topic_check import TAIL
from tests.builders.events import a_fact
from tests.conftest import DatabaseFactory, Databases

EFFECTS = "CREATE TABLE effect (position bigserial, account text, revision int, number int)"
RECORD = text(
    "INSERT INTO effect (account, revision, number) VALUES (:account, :revision, :number)"
)
CONSUMER_STATE = ("effect", "inbox_position", "inbox", "dead_letter")
PRODUCER_STATE = ("outbox", "fact_log", "relay_position", "relay_state", "event_number")
TOPIC = topic_of("identity")
KEYS = [new_id() for _ in range(12)]
"""Enough to have several in one partition, and several partitions."""


def a_consumer() -> Consumer:
    consumer = Consumer("assessment")

    async def effect(session: AsyncSession, event: IdentityVerified) -> None:
        values = {
            "account": str(event.account_id),
            "revision": event.revision,
            "number": event.event_number,
        }
        _ = await session.execute(RECORD, values)

    _ = consumer.on(IdentityVerified)(effect)
    return consumer


@dataclass
class Pair:
    """A producer with its database, and a consumer with another."""

    bus: Bus
    producer: Database
    consumer: Database
    published: int = 0
    rebuildable: bool = False
    keys: Sequence[UUID] = field(default_factory=lambda: KEYS)

    async def publish(self, count: int) -> None:
        """`count` facts of each key, without a running relay."""
        events: list[Event] = []
        for _ in range(count):
            self.published += 1
            events += [a_fact(key, revision=self.published) for key in self.keys]
        async with self.producer.transaction() as session:
            await outbox.add_many(session, events)

    async def relay(self) -> None:
        """Compare with the topic and publish all that waits, as a relay does that starts."""
        connection = await self.producer.connect()
        relay = outbox.Relay(self.producer, self.bus, topic=TOPIC, rebuildable=self.rebuildable)
        try:
            async with self.bus.publisher() as publisher:
                publishing = await relay.begin(connection, publisher)
                while await publishing.publish_batch():
                    pass
        except RefusedError as error:
            await note_refusal(connection, str(error))
            raise
        finally:
            await connection.close()

    async def publish_blindly(self, publisher: Publisher) -> None:
        """Publish what waits without a look at the topic."""
        connection = await self.producer.connect()
        facts = FactLog(connection, self.bus)
        try:
            _ = await outbox.Publishing(connection, publisher, facts=facts).publish_batch()
        finally:
            await connection.close()

    @asynccontextmanager
    async def consuming(self) -> AsyncGenerator[None]:
        inbox = Inbox(self.consumer, self.bus, consumer=a_consumer(), pauses=(0.0, 0.0))
        working = [asyncio.create_task(inbox.run()), asyncio.create_task(inbox.run_retries())]
        try:
            yield
        finally:
            for task in working:
                _ = task.cancel()
            _ = await asyncio.gather(*working, return_exceptions=True)

    async def effects(self) -> dict[str, list[int]]:
        """The revisions taken, by account, in order."""
        found: dict[str, list[int]] = {}
        async with self.consumer.reading() as session:
            rows = await session.execute(
                text("SELECT account, revision FROM effect ORDER BY position")
            )
            for account, revision in rows:
                found.setdefault(account, []).append(revision)
        return found

    def expected(self) -> dict[str, list[int]]:
        return {str(key): list(range(1, self.published + 1)) for key in self.keys}

    async def wait_for_all(self, seconds: float = 30.0) -> None:
        async with asyncio.timeout(seconds):
            while sum(map(len, (await self.effects()).values())) < len(self.keys) * self.published:
                await asyncio.sleep(0.05)

    async def assert_each_once(self) -> None:
        """All are there, and half a second later still each once and in order."""
        await self.wait_for_all()
        await asyncio.sleep(0.5)
        assert await self.effects() == self.expected()


async def save(database: Database, tables: Sequence[str]) -> None:
    async with database.transaction() as session:
        for table in tables:
            _ = await session.execute(text(f"DROP TABLE IF EXISTS saved_{table}"))
            _ = await session.execute(text(f"CREATE TABLE saved_{table} AS SELECT * FROM {table}"))


async def restore(database: Database, tables: Sequence[str]) -> None:
    """The tables as they were saved, in one moment, as a restored database has them."""
    async with database.transaction() as session:
        for table in tables:
            _ = await session.execute(text(f"TRUNCATE {table}"))
            _ = await session.execute(
                text(f"INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM saved_{table}")
            )


@pytest.fixture(params=["local", pytest.param("kafka", marks=pytest.mark.xdist_group("kafka"))])
async def pair(
    request: pytest.FixtureRequest, databases: Databases, database_of: DatabaseFactory
) -> AsyncGenerator[Pair]:
    producer, consumer = await database_of("identity"), await database_of("assessment")
    async with consumer.transaction() as session:
        _ = await session.execute(text(EFFECTS))
    if request.param == "local":
        name, url = await databases.empty()
        local = LocalBus(url)
        await local.ensure_topics([TOPIC])
        yield Pair(local, producer, consumer)
        await local.close()
        await databases.drop(name)
    else:
        broker: KafkaBroker = request.getfixturevalue("kafka")
        bus = KafkaBus(broker.bootstrap)
        await lose_topic(bus)
        await bus.ensure_topics([TOPIC])
        yield Pair(bus, producer, consumer)
        await lose_topic(bus)


async def lose_topic(bus: Bus) -> None:
    """The topic with all its facts is gone."""
    if isinstance(bus, LocalBus):
        pool = await bus.pool()
        for table in ("bus_log", "bus_topic", "bus_group"):
            _ = await pool.execute(f"DELETE FROM {table}")
        return
    assert isinstance(bus, KafkaBus)
    admin = AIOKafkaAdminClient(bootstrap_servers=bus._bootstrap)
    await admin.start()
    try:
        if TOPIC in await admin.list_topics():
            _ = await admin.delete_topics([TOPIC])
        while TOPIC in await admin.list_topics():
            await asyncio.sleep(0.1)
    finally:
        await admin.close()


async def test_consumer_restored_while_it_was_stopped_reads_what_it_lacks(pair: Pair) -> None:
    await pair.publish(3)
    await pair.relay()
    async with pair.consuming():
        await pair.wait_for_all()
        await save(pair.consumer, CONSUMER_STATE)
        await pair.publish(4)
        await pair.relay()
        await pair.wait_for_all()

    await restore(pair.consumer, CONSUMER_STATE)

    async with pair.consuming():
        await pair.assert_each_once()


@pytest.mark.parametrize("busy", [False, True])
async def test_consumer_restored_under_its_worker_reads_what_it_lacks(
    pair: Pair, busy: bool
) -> None:
    await pair.publish(2)
    await pair.relay()
    async with pair.consuming():
        await pair.wait_for_all()
        await save(pair.consumer, CONSUMER_STATE)
        await pair.publish(5)
        await pair.relay()
        await pair.wait_for_all()

        await restore(pair.consumer, CONSUMER_STATE)
        if busy:
            await pair.publish(1)
            await pair.relay()

        await pair.assert_each_once()


async def test_lost_topic_is_filled_again_and_nothing_has_a_second_effect(
    pair: Pair, database_of: DatabaseFactory
) -> None:
    await pair.publish(3)
    await pair.relay()
    async with pair.consuming():
        await pair.wait_for_all()
    await pair.publish(2)
    await pair.relay()

    await lose_topic(pair.bus)
    await pair.publish(1)
    await pair.relay()

    async with pair.consuming():
        await pair.assert_each_once()
    other = await database_of("assessment")
    async with other.transaction() as session:
        _ = await session.execute(text(EFFECTS))
    newcomer = Pair(pair.bus, pair.producer, other, pair.published)
    async with newcomer.consuming():
        await newcomer.assert_each_once()


async def test_facts_after_lost_ones_wait_until_they_are_published_again(pair: Pair) -> None:
    await pair.publish(2)
    await pair.relay()
    await lose_topic(pair.bus)
    await pair.bus.ensure_topics([TOPIC])
    await pair.publish(2)
    async with pair.bus.publisher() as publisher:
        # The topic then holds the later facts alone.
        await pair.publish_blindly(publisher)

    async with pair.consuming():
        await asyncio.sleep(3)
        assert await pair.effects() == {}

        # The relay compares the topic with its numbers, and fills it again.
        await pair.relay()

        await pair.assert_each_once()


async def test_facts_are_published_again_on_request(pair: Pair) -> None:
    await pair.publish(3)
    await pair.relay()
    before = await newest(pair)

    await request_refill(pair.producer, since=None)
    await pair.relay()

    assert await newest(pair) == {place: 2 * end for place, end in before.items()}
    async with pair.consuming():
        await pair.assert_each_once()


async def newest(pair: Pair) -> dict[int, int]:
    """The number of records in each partition."""
    async with pair.bus.reader() as reader:
        found = await reader.newest(TOPIC, await pair.bus.partitions(TOPIC))
        return {place: record.offset + 1 for place, record in found.items()}


async def test_consumer_restored_to_before_its_first_fact_reads_all(pair: Pair) -> None:
    async with pair.consuming():
        await asyncio.sleep(1)
        await save(pair.consumer, CONSUMER_STATE)
        await pair.publish(4)
        await pair.relay()
        await pair.wait_for_all()

    await restore(pair.consumer, CONSUMER_STATE)
    await pair.publish(1)
    await pair.relay()

    async with pair.consuming():
        await pair.assert_each_once()


async def test_end_of_a_partition_that_the_broker_lost_is_sent_again(pair: Pair) -> None:
    await pair.publish(2)
    await pair.relay()
    if isinstance(pair.bus, LocalBus):
        pool = await pair.bus.pool()
        _ = await pool.execute("DELETE FROM bus_log WHERE log_offset >= 7")
        _ = await pool.execute("UPDATE bus_topic SET next_offset = 7")
    else:
        # A broker cannot be made to cut a log from outside: the database claims to have sent more.
        events = [a_fact(key, revision=3) for key in KEYS]
        async with pair.producer.transaction() as session:
            await outbox.add_many(session, events)
        pair.published = 3
        await pair.publish_blindly(LosesAll())

    await pair.relay()

    async with pair.consuming():
        await pair.assert_each_once()


class LosesAll:
    """A publisher whose broker forgets what it gets."""

    async def publish(self, messages: Sequence[Message]) -> None:
        pass


async def test_deleted_offsets_of_the_group_give_nothing_a_second_effect(pair: Pair) -> None:
    await pair.publish(3)
    await pair.relay()
    async with pair.consuming():
        await pair.wait_for_all()

    # Another name is a group without offsets.
    async with pair.consumer.transaction() as session:
        _ = await session.execute(text("UPDATE inbox_group SET id = gen_random_uuid()"))
    await pair.publish(1)
    await pair.relay()

    async with pair.consuming():
        await pair.assert_each_once()


async def test_producer_that_was_restored_refuses_to_publish(pair: Pair) -> None:
    await pair.publish(1)
    await pair.relay()
    await save(pair.producer, PRODUCER_STATE)
    await pair.publish(2)
    await pair.relay()

    await restore(pair.producer, PRODUCER_STATE)
    await pair.publish(1)
    with pytest.raises(RefusedError, match="restored to an earlier moment"):
        await pair.relay()

    async with pair.producer.reading() as session:
        refused = await session.scalar(text("SELECT refused FROM relay_state"))
    assert "restored to an earlier moment" in refused


async def test_facts_of_releases_without_numbers_are_kept_and_counted(
    pair: Pair, database_of: DatabaseFactory
) -> None:
    await publish_without_numbers(pair, 3)
    async with pair.consuming():
        await pair.wait_for_all()
        # What an older release has taken stands in its inbox and in the offsets of its group.
        async with pair.consumer.transaction() as session:
            _ = await session.execute(text("DELETE FROM inbox_position"))

    await pair.publish(2)
    await pair.relay()

    async with pair.consuming():
        await pair.assert_each_once()
    await lose_topic(pair.bus)
    await pair.relay()
    async with pair.consuming():
        # They carry numbers now, and are known by their ids.
        await pair.assert_each_once()
    other = await database_of("assessment")
    async with other.transaction() as session:
        _ = await session.execute(text(EFFECTS))
    newcomer = Pair(pair.bus, pair.producer, other, pair.published)
    async with newcomer.consuming():
        await newcomer.assert_each_once()


async def publish_without_numbers(pair: Pair, count: int) -> None:
    messages: list[Message] = []
    for _ in range(count):
        pair.published += 1
        for key in KEYS:
            event = a_fact(key, revision=pair.published)
            messages.append(Message(TOPIC, event.key, seal(event)[1]))
    async with pair.bus.publisher() as publisher:
        await publisher.publish(messages)


async def test_read_model_that_was_dropped_takes_its_own_facts_from_the_topic(
    pair: Pair, database_of: DatabaseFactory
) -> None:
    await pair.publish(3)
    await pair.relay()
    pair.producer = await database_of("identity")
    with pytest.raises(RefusedError):
        await pair.relay()

    pair.rebuildable = True
    await pair.publish(1)
    await pair.relay()

    async with pair.consuming():
        await pair.assert_each_once()


async def test_another_number_of_partitions_is_refused(pair: Pair) -> None:
    await pair.publish(1)
    await pair.relay()
    async with pair.producer.transaction() as session:
        _ = await session.execute(
            text("INSERT INTO relay_position VALUES (:topic, 99, 0, 0, 0, 0)"), {"topic": TOPIC}
        )

    with pytest.raises(RefusedError, match="partitions"):
        await pair.relay()


class StopsAfterOne:
    """A publisher that ends after its first call, as a process that dies."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._called = False

    async def publish(self, messages: Sequence[Message]) -> None:
        if self._called:
            raise ConnectionError("the process died")
        self._called = True
        await self._publisher.publish(messages)


@pytest.mark.parametrize("tail", [0, TAIL])
async def test_fact_that_was_sent_again_does_not_hide_newer_ones(pair: Pair, tail: int) -> None:
    pair.keys = KEYS[:1]
    await pair.publish(6)
    await pair.relay()
    await save(pair.producer, PRODUCER_STATE)
    await pair.publish(3)
    await pair.relay()
    await request_refill(pair.producer, since=None)
    connection = await pair.producer.connect()
    relay = outbox.Relay(pair.producer, pair.bus, topic=TOPIC, batch=2)
    async with pair.bus.publisher() as publisher:
        publishing = await relay.begin(connection, StopsAfterOne(publisher))
        with pytest.raises(ConnectionError):
            _ = await publishing.publish_batch()
        # The last record of the partition is now the second fact; the newest is the ninth.

        await restore(pair.producer, PRODUCER_STATE)
        with pytest.raises(RefusedError, match="up to number 9"):
            _ = await relay.begin(connection, publisher, tail=tail)
    await connection.close()


async def test_batch_of_a_dead_process_that_comes_late_does_not_hide_newer_facts(
    pair: Pair,
) -> None:
    pair.keys = KEYS[:1]
    await pair.publish(3)
    await pair.relay()
    await save(pair.producer, PRODUCER_STATE)
    await pair.publish(2)
    await pair.relay()
    async with pair.bus.reader() as reader:
        (newest_record,) = (await reader.newest(TOPIC, await pair.bus.partitions(TOPIC))).values()
        early = await reader.read(newest_record.place, 0, limit=1)
    async with pair.bus.publisher() as publisher:
        late = [
            Message(TOPIC, one.key, one.value, one.number, one.event_number, one.partition)
            for one in early
        ]
        await publisher.publish(late)

    await restore(pair.producer, PRODUCER_STATE)

    with pytest.raises(RefusedError, match="up to number 5"):
        await pair.relay()
