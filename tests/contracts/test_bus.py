"""What both buses promise, held by one suite: Kafka (a real broker) and the in-process bus."""

import asyncio
import gc
import warnings
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
import uvloop
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.protocol.metadata import MetadataRequest
from hypothesis import given
from hypothesis import strategies as st

from deploy.broker import KafkaBroker
from shared.ids import new_id
from shared.messaging.bus import Bus, Message, Record, partition_of
from shared.messaging.kafka import BATCH_BYTES, KafkaBus, KafkaPublisher
from shared.messaging.local_bus import LocalBus
from tests.conftest import Databases


@pytest.fixture(
    params=["local", pytest.param("kafka", marks=pytest.mark.xdist_group("kafka"))],
)
async def bus(request: pytest.FixtureRequest, databases: Databases) -> AsyncGenerator[Bus]:
    if request.param == "local":
        name, url = await databases.empty()
        local = LocalBus(url)
        yield local
        await local.close()
        await databases.drop(name)
    else:
        yield KafkaBus(request.getfixturevalue("kafka").bootstrap)


@pytest.fixture
async def topic(bus: Bus) -> str:
    name = f"test.{new_id()}"
    await bus.ensure_topics([name])
    return name


async def send(bus: Bus, messages: Sequence[Message]) -> None:
    async with bus.publisher() as publisher:
        await publisher.publish(messages)


async def read(
    bus: Bus, topic: str, group: str, number: int, *, acknowledge: bool = True
) -> list[Record]:
    """The next `number` records of the topic for this group."""
    found: list[Record] = []
    async with asyncio.timeout(30), bus.subscription(group, [topic]) as subscription:
        while len(found) < number:
            records = await subscription.poll(100, timeout=1.0)
            found += records
            if records and acknowledge:
                await subscription.acknowledge(records)
    return found


def numbered(topic: str, keys: Sequence[str], count: int) -> list[Message]:
    return [Message(topic, key, f"{key}-{n}".encode()) for n in range(count) for key in keys]


async def test_messages_of_a_key_arrive_in_order(bus: Bus, topic: str) -> None:
    messages = numbered(topic, ["a", "b", "c"], 40)

    await send(bus, messages)
    records = await read(bus, topic, "readers", 120)

    for key in "abc":
        assert [r.value for r in records if r.key == key] == [
            f"{key}-{n}".encode() for n in range(40)
        ]


async def test_unacknowledged_records_come_again(bus: Bus, topic: str) -> None:
    await send(bus, numbered(topic, ["a"], 3))

    first = await read(bus, topic, "readers", 3, acknowledge=False)
    second = await read(bus, topic, "readers", 3)

    assert [r.value for r in first] == [r.value for r in second]


async def test_acknowledged_records_do_not_come_again(bus: Bus, topic: str) -> None:
    await send(bus, numbered(topic, ["a"], 3))
    _ = await read(bus, topic, "readers", 3)

    await send(bus, [Message(topic, "a", b"new")])
    records = await read(bus, topic, "readers", 1)

    assert [r.value for r in records] == [b"new"]


async def test_every_group_gets_everything_from_the_start(bus: Bus, topic: str) -> None:
    await send(bus, numbered(topic, ["a"], 3))
    _ = await read(bus, topic, "first", 3)

    records = await read(bus, topic, "a group that came later", 3)

    assert [r.value for r in records] == [b"a-0", b"a-1", b"a-2"]


async def test_poll_wakes_for_a_message_that_comes_while_it_waits(bus: Bus, topic: str) -> None:
    async with asyncio.timeout(30), bus.subscription("readers", [topic]) as subscription:
        waiting = asyncio.create_task(subscription.poll(10, timeout=20))
        await asyncio.sleep(0.3)
        await send(bus, [Message(topic, "a", b"now")])

        records = await waiting

    assert [r.value for r in records] == [b"now"]


async def test_poll_comes_back_empty_when_nothing_happens(bus: Bus, topic: str) -> None:
    async with bus.subscription("readers", [topic]) as subscription:
        assert list(await subscription.poll(10, timeout=0.2)) == []


async def test_what_comes_while_a_batch_is_handled_comes_together(bus: Bus, topic: str) -> None:
    async with asyncio.timeout(30), bus.subscription("readers", [topic]) as subscription:
        await send(bus, [Message(topic, "first", b"")])
        first = await subscription.poll(10, timeout=20)
        for number in range(6):
            await send(bus, [Message(topic, f"key {number}", b"")])
        await asyncio.sleep(0.3)

        later = await subscription.poll(10, timeout=20)

    assert [len(first), len(later)] == [1, 6]


async def test_topics_can_be_ensured_again(bus: Bus, topic: str) -> None:
    await bus.ensure_topics([topic])

    assert await bus.ready()


async def test_local_bus_refuses_an_unknown_topic(empty_database: str) -> None:
    bus = LocalBus(empty_database)

    with pytest.raises(LookupError, match="nowhere"):
        await send(bus, [Message("nowhere", "a", b"")])
    await bus.close()


async def test_bus_that_is_away_is_not_ready() -> None:
    assert not await KafkaBus("127.0.0.1:1").ready()


@pytest.mark.parametrize("kind", ["reader", "publisher", "subscription"])
async def test_client_that_finds_no_broker_leaves_nothing_open(kind: str) -> None:
    bus = KafkaBus("127.0.0.1:1")
    clients = {
        "reader": bus.reader,
        "publisher": bus.publisher,
        "subscription": lambda: bus.subscription("readers", ["t"]),
    }

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with pytest.raises(KafkaConnectionError):
            async with clients[kind]():
                pass
        _ = gc.collect()

    assert [str(one.message) for one in told if one.category is ResourceWarning] == []
    assert not await LocalBus("postgresql://nobody@127.0.0.1:1/none").ready()


async def test_more_than_a_batch_of_one_key_arrives_in_order(bus: Bus, topic: str) -> None:
    """Several batches of one partition: each must be there before the next is sent."""
    messages = [Message(topic, key, bytes([n]) * 300_000) for n in range(12) for key in ("a", "b")]

    await send(bus, messages)
    found = await read(bus, topic, "big", len(messages))

    for key in ("a", "b"):
        assert [record.value[0] for record in found if record.key == key] == list(range(12))


class Forgetful(AIOKafkaProducer):
    """Gives up the second batch that it is handed.

    The client does so when a batch has waited for a leader too long.
    """

    handed = 0

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> Any:
        self.handed += 1
        if self.handed == 2:
            given_up = asyncio.get_running_loop().create_future()
            given_up.set_exception(KafkaTimeoutError())
            return given_up
        return await super().send_batch(batch, topic, partition=partition)


@pytest.mark.xdist_group("kafka")
async def test_nothing_later_of_a_key_goes_out_after_a_batch_that_was_given_up(
    kafka: KafkaBroker,
) -> None:
    bus, topic = KafkaBus(kafka.bootstrap), f"test.{new_id()}"
    await bus.ensure_topics([topic])
    messages = [Message(topic, "a", bytes([n]) * 600_000) for n in range(4)]
    async with Forgetful(
        bootstrap_servers=kafka.bootstrap, enable_idempotence=True, max_batch_size=BATCH_BYTES
    ) as producer:
        with pytest.raises(KafkaTimeoutError):
            await KafkaPublisher(producer).publish(messages)
        await KafkaPublisher(producer).publish(messages)

    found = await read(bus, topic, "later", 5)

    assert [record.value[0] for record in found] == [0, 0, 1, 2, 3]


@given(st.binary(max_size=80), st.integers(1, 40))
def test_keys_lie_where_every_kafka_client_puts_them(key: bytes, count: int) -> None:
    partitions = list(range(count))
    usual: Any = DefaultPartitioner()

    assert partition_of(key, partitions) == usual(key, partitions, partitions)


@pytest.mark.xdist_group("kafka")
def test_a_request_into_a_connection_that_just_broke_is_told_as_such(kafka: KafkaBroker) -> None:
    """On the event loop of the processes, whose transports raise an error of their own.

    The client's task that looks for the broker did not survive that error, and a consumer without
    this task waits for ever.
    """

    async def work() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap)
        await producer.start()
        assert await producer.client.force_metadata_update()
        (connection,) = producer.client._conns.values()
        answer = asyncio.get_running_loop().create_future()

        def ask() -> None:
            try:
                _ = connection.send(MetadataRequest([]))
            except Exception as error:
                answer.set_result(error)

        connection._writer.transport.abort()
        # Right behind the transport's own end, before the client's reader hears of it.
        _ = asyncio.get_running_loop().call_soon(ask)
        async with asyncio.timeout(5):
            assert isinstance(await answer, KafkaConnectionError)
        assert await producer.client.force_metadata_update()
        await producer.stop()

    uvloop.run(work())
