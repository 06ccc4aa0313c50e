# pyright: basic
# aiokafka is untyped; this module is the only one that imports it.
"""The bus on Apache Kafka: idempotent producer with `acks=all`, offsets committed by us."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from itertools import groupby, zip_longest
from operator import attrgetter
from struct import unpack

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaConnectionError,
    KafkaError,
    TopicAlreadyExistsError,
)
from aiokafka.producer.message_accumulator import BatchBuilder

from shared.messaging.bus import Message, Record

PARTITIONS = 8
BATCH_BYTES = 1024 * 1024
"""The broker's own limit for a batch (`message.max.bytes`), above the largest event."""
COMMIT_EVERY = 0.25
KEEP_FOREVER = {"retention.ms": "-1", "retention.bytes": "-1"}

_send = AIOKafkaConnection.send


def _send_or_close(self, request, expect_response=True):  # noqa: PLR0917 - as in aiokafka
    """Send, and close the connection when the broker has just closed it.

    uvloop's transport then raises a RuntimeError, which aiokafka does not expect (its issue 1038):
    its task that looks for the coordinator ended unnoticed, and the consumer waited for ever.
    """
    try:
        return _send(self, request, expect_response)
    except KafkaError:
        raise
    except RuntimeError as error:
        self.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(
            f"the connection to {self.host}:{self.port} is closed"
        ) from error


AIOKafkaConnection.send = _send_or_close


def partition_of(key: bytes, partitions: Sequence[int]) -> int:
    """The partition of a key, by murmur2 as in every Kafka client.

    aiokafka's own function goes byte by byte and takes three times as long.
    """
    whole, mask = len(key) & ~3, 0xFFFFFFFF
    found = 0x9747B28C ^ len(key)
    for word in unpack(f"<{whole // 4}I", key[:whole]):
        word = word * 0x5BD1E995 & mask
        found = found * 0x5BD1E995 & mask ^ (word ^ word >> 24) * 0x5BD1E995 & mask
    if whole < len(key):
        found = (found ^ int.from_bytes(key[whole:], "little")) * 0x5BD1E995 & mask
    found = (found ^ found >> 13) * 0x5BD1E995 & mask
    return partitions[((found ^ found >> 15) & 0x7FFFFFFF) % len(partitions)]


class KafkaPublisher:
    """See `shared.messaging.bus.Publisher`.

    Batches are made here, one of a partition at a time. aiokafka would go on to the next batch of a
    partition after one that it gave up, and later events of a key would come before earlier ones.
    """

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer

    async def publish(self, messages: Sequence[Message]) -> None:
        waiting: dict[TopicPartition, list[BatchBuilder]] = {}
        for topic, group in groupby(messages, key=attrgetter("topic")):
            partitions = sorted(await self._producer.partitions_for(topic))
            for message in group:
                key = message.key.encode()
                batches = waiting.setdefault(
                    TopicPartition(topic, partition_of(key, partitions)), []
                )
                self._append(batches, key, value=message.value)
        for wave in zip_longest(*waiting.values()):
            sent = []
            for place, batch in zip(waiting, wave, strict=True):
                if batch is not None:
                    sent.append(
                        await self._producer.send_batch(
                            batch, place.topic, partition=place.partition
                        )
                    )
            _ = await asyncio.gather(*sent)

    def _append(self, batches: list[BatchBuilder], key: bytes, *, value: bytes) -> None:
        if not batches or batches[-1].append(key=key, value=value, timestamp=None) is None:
            batches.append(self._producer.create_batch())
            if batches[-1].append(key=key, value=value, timestamp=None) is None:
                raise ValueError(f"a message of {len(value)} bytes fits in no batch")


class KafkaSubscription:
    """See `shared.messaging.bus.Subscription`.

    Offsets are committed a few times a second and at the end, not after every batch: a commit costs
    the broker as much as an event, and whatever is read again after a crash the inbox knows.

    Nothing is fetched between two polls. The client would fetch ahead, get the one event that is
    there, and fetch no more before that is taken, so that a consumer under load would have its
    events one by one, each at the price of a batch.
    """

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self._ends: dict[TopicPartition, int] = {}
        self._committed_at = 0.0

    async def poll(self, limit: int, timeout: float) -> Sequence[Record]:
        self._consumer.resume(*self._consumer.paused())
        batches = await self._consumer.getmany(timeout_ms=int(timeout * 1000), max_records=limit)
        if batches:
            self._consumer.pause(*self._consumer.assignment())
        else:
            await self.commit()
        return [
            Record(
                place.topic,
                (record.key or b"").decode(),
                record.value or b"",
                place.partition,
                record.offset,
            )
            for place, records in batches.items()
            for record in records
        ]

    async def acknowledge(self, records: Sequence[Record]) -> None:
        self._ends |= {
            TopicPartition(record.topic, record.partition): record.offset + 1 for record in records
        }
        if time.monotonic() - self._committed_at >= COMMIT_EVERY:
            await self.commit()

    async def commit(self) -> None:
        """Commit the offsets of everything acknowledged."""
        ends, self._ends = self._ends, {}
        self._committed_at = time.monotonic()
        # Another member may own a partition by now: it reads these again and its inbox knows them.
        ends = {place: end for place, end in ends.items() if place in self._consumer.assignment()}
        if ends:
            with contextlib.suppress(CommitFailedError, IllegalStateError):
                await self._consumer.commit(ends)


class KafkaBus:
    """`bootstrap` is `host:port[,host:port…]`."""

    def __init__(self, bootstrap: str, *, replication: int = 1) -> None:
        self._bootstrap = bootstrap
        self._replication = replication

    @asynccontextmanager
    async def _admin(self) -> AsyncGenerator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap, request_timeout_ms=10_000)
        await admin.start()
        try:
            yield admin
        finally:
            await admin.close()

    async def ensure_topics(self, topics: Sequence[str]) -> None:
        async with self._admin() as admin:
            present = set(await admin.list_topics())
            missing = [
                NewTopic(name, PARTITIONS, self._replication, topic_configs=KEEP_FOREVER)
                for name in topics
                if name not in present
            ]
            if missing:
                with contextlib.suppress(TopicAlreadyExistsError):
                    _ = await admin.create_topics(missing)

    @asynccontextmanager
    async def publisher(self) -> AsyncGenerator[KafkaPublisher]:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            enable_idempotence=True,
            acks="all",
            linger_ms=0,
            max_batch_size=BATCH_BYTES,
            max_request_size=BATCH_BYTES,
            request_timeout_ms=10_000,
        )
        await producer.start()
        try:
            yield KafkaPublisher(producer)
        finally:
            await producer.stop()

    @asynccontextmanager
    async def subscription(
        self, group: str, topics: Sequence[str]
    ) -> AsyncGenerator[KafkaSubscription]:
        consumer = AIOKafkaConsumer(
            *topics,
            bootstrap_servers=self._bootstrap,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=1000,
            fetch_max_wait_ms=500,
            session_timeout_ms=6_000,  # how long a killed worker keeps its partitions
            heartbeat_interval_ms=1_000,
            metadata_max_age_ms=30_000,
        )
        await consumer.start()
        subscription = KafkaSubscription(consumer)
        try:
            yield subscription
        finally:
            with contextlib.suppress(KafkaError, TimeoutError):
                async with asyncio.timeout(2):
                    await subscription.commit()
            await consumer.stop()

    async def ready(self) -> bool:
        try:
            async with self._admin() as admin:
                _ = await admin.list_topics()
        except (KafkaError, OSError):
            return False
        return True
