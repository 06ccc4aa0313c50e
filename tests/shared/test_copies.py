"""Three brokers: copies of topics, what is told when they lack, and the loss of a broker."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text

from deploy.broker import KafkaBroker, KafkaCluster
from shared import clock
from shared.ids import new_id
from shared.messaging import outbox
from shared.messaging.bus import LackingCopies, TopicRefusedError
from shared.messaging.kafka import PARTITIONS, KafkaBus
from shared.messaging.topics import TopicWatch
from tests.conftest import DatabaseFactory
from tests.faults.power_cut import cut_back
from tests.shared.test_positions import EFFECTS, TOPIC, Pair

pytestmark = [pytest.mark.xdist_group("kafka"), pytest.mark.timeout(180)]

COMPLETE = LackingCopies(0, 0)


@pytest.fixture(scope="module")
def cluster() -> Generator[KafkaCluster]:
    with (
        tempfile.TemporaryDirectory(prefix="tongban-kafka-") as folder,
        KafkaCluster(Path(folder)) as cluster,
    ):
        yield cluster
        # A clean end takes seconds, and nobody reads the data again.
        cluster.kill()


@pytest.fixture
def bus(cluster: KafkaCluster) -> KafkaBus:
    return KafkaBus(cluster.bootstrap, replication=cluster.copies)


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.1)


def told(metric: str, topic: str) -> float | None:
    return REGISTRY.get_sample_value(metric, {"service": "cases", "topic": topic})


async def test_missing_copies_are_told_until_the_broker_is_back(
    cluster: KafkaCluster, bus: KafkaBus, watching: Callable[[str], TopicWatch]
) -> None:
    topic = f"t.{new_id()}"
    watch = watching(topic)
    await watch.make()

    async def missing(copies: float, *, below: float) -> bool:
        await look(watch)
        replicas = told("tongban_topic_replicas_missing", topic)
        partitions = told("tongban_topic_partitions_below_minimum", topic)
        return (replicas, partitions) == (copies, below)

    assert await bus.lacking_copies([topic]) == {topic: COMPLETE}
    assert await missing(0, below=0)
    cluster.brokers[0].kill()
    await until(lambda: missing(PARTITIONS, below=0))
    cluster.brokers[0].start()
    await until(lambda: missing(0, below=0))
    assert told("tongban_topic_minimum_too_low", topic) == 0


@pytest.fixture
def watching(bus: KafkaBus) -> Callable[[str], TopicWatch]:
    return lambda topic: TopicWatch("cases", bus, topics=[topic])


async def look(watch: TopicWatch) -> None:
    """As the worker's timer does; the watch needs no database."""
    await watch.look(None, clock.now())  # pyright: ignore[reportArgumentType]


async def test_topic_below_the_setting_is_told_and_used(
    cluster: KafkaCluster, bus: KafkaBus
) -> None:
    topic = f"t.{new_id()}"
    await KafkaBus(cluster.bootstrap, replication=1).ensure_topics([topic])

    await bus.ensure_topics([topic])

    lacking = await bus.lacking_copies([topic])
    assert lacking == {topic: LackingCopies(2 * PARTITIONS, 0, minimum_too_low=True)}


async def test_more_copies_than_brokers_are_refused_with_a_reason(cluster: KafkaCluster) -> None:
    topic = f"t.{new_id()}"
    bus = KafkaBus(cluster.bootstrap, replication=4)
    watch = TopicWatch("cases", bus, topics=[topic])

    with pytest.raises(TopicRefusedError, match="only 3 broker"):
        await bus.ensure_topics([topic])
    await look(watch)

    assert "only 3 broker" in (watch.refused or "")
    assert told("tongban_topic_replicas_missing", topic) == 4 * PARTITIONS


async def test_topic_that_is_gone_is_made_again_by_a_look(bus: KafkaBus) -> None:
    topic = f"t.{new_id()}"
    watch = TopicWatch("cases", bus, topics=[topic])
    await watch.make()
    await bus._ask(lambda admin: admin.delete_topics([topic]))

    async def is_gone() -> bool:
        return (await bus.lacking_copies([topic]))[topic].below_minimum > 0

    await until(is_gone)
    await look(watch)

    assert await bus.lacking_copies([topic]) == {topic: COMPLETE}


async def test_power_cut_of_one_broker_loses_nothing(
    cluster: KafkaCluster, bus: KafkaBus, database_of: DatabaseFactory
) -> None:
    producer, consumer = await database_of("identity"), await database_of("assessment")
    async with consumer.transaction() as session:
        _ = await session.execute(text(EFFECTS))
    pair = Pair(bus, producer, consumer)
    await bus.ensure_topics([TOPIC])
    broker = cluster.brokers[1]
    async with relaying(pair), pair.consuming():
        await pair.publish(3)
        await pair.wait_for_all()

        lost = await asyncio.to_thread(cut_power, broker)
        await pair.publish(3)
        broker.start()

        await pair.wait_for_all(60)
        await until(lambda: is_complete(bus))
        await pair.assert_each_once()
    assert lost > 0


def cut_power(broker: KafkaBroker) -> int:
    broker.kill()
    return cut_back(broker.data_dir / "logs")


async def is_complete(bus: KafkaBus) -> bool:
    return await bus.lacking_copies([TOPIC]) == {TOPIC: COMPLETE}


@asynccontextmanager
async def relaying(pair: Pair) -> AsyncGenerator[None]:
    relay = asyncio.create_task(outbox.Relay(pair.producer, pair.bus, topic=TOPIC).run())
    try:
        yield
    finally:
        _ = relay.cancel()
        _ = await asyncio.gather(relay, return_exceptions=True)
