# pyright: basic
# aiokafka is untyped; this module is the only one that imports it.
"""The bus on Apache Kafka: idempotent producer with `acks=all`, offsets committed by us."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import groupby, zip_longest
from operator import attrgetter
from pathlib import Path
from ssl import create_default_context
from typing import Any, TypeVar

from aiokafka import (
    AIOKafkaConsumer,
    AIOKafkaProducer,
    ConsumerRebalanceListener,
    TopicPartition,
)
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaConnectionError,
    KafkaError,
    NodeNotReadyError,
    NoError,
    TopicAlreadyExistsError,
    for_code,
)
from aiokafka.producer.message_accumulator import BatchBuilder

from shared.messaging.bus import (
    FactNumber,
    LackingCopies,
    Message,
    Place,
    Positions,
    Record,
    TopicRefusedError,
    partition_of,
)

T = TypeVar("T")

PARTITIONS = 8
BATCH_BYTES = 1024 * 1024
"""The broker's own limit for a batch (`message.max.bytes`), above the largest event."""
COMMIT_EVERY = 0.25
READ_SECONDS = 30.0
LED_SECONDS = 10.0
ATTEMPTS = 8
"""With one of three brokers dead and not yet known to be, each fails once in three times."""
TOPIC_SETTINGS = {
    "retention.ms": "-1",
    "retention.bytes": "-1",
    # Two index files of a partition are made in full size beforehand. Kafka's 10 MiB are more than
    # a whole segment of 1 GiB needs; with 1 MiB a segment ends at about 350 MB.
    "segment.index.bytes": str(1024 * 1024),
}
AT_SECONDS = 2.0

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


NUMBER_HEADER = "tongban-number"
"""`epoch:number:event_number`. In a header, because the bytes of an event never change."""
HIGHEST_HEADER = "tongban-highest"
FOLLOWS_HEADER = "tongban-follows"
"""`epoch:number` of `Message.highest` and `Message.follows`; few records have them."""


def _headers(message: Message) -> list[tuple[str, bytes]]:
    if message.number is None:
        return []
    epoch, number = message.number
    headers = [(NUMBER_HEADER, b"%d:%d:%d" % (epoch, number, message.event_number))]
    if message.highest is not None:
        headers.append((HIGHEST_HEADER, b"%d:%d" % message.highest))
    if message.follows is not None:
        headers.append((FOLLOWS_HEADER, b"%d:%d" % message.follows))
    return headers


def _record(found) -> Record:
    number, event_number = None, 0
    highest, follows = None, None
    for name, value in found.headers:
        if name == NUMBER_HEADER:
            epoch, place, event_number = map(int, value.split(b":"))
            number = FactNumber(epoch, place)
        elif name == HIGHEST_HEADER:
            highest = FactNumber(*map(int, value.split(b":")))
        elif name == FOLLOWS_HEADER:
            follows = FactNumber(*map(int, value.split(b":")))
    return Record(
        found.topic,
        (found.key or b"").decode(),
        found.value or b"",
        found.partition,
        found.offset,
        number,
        event_number,
        highest,
        follows,
    )


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
                partition = message.partition
                if partition is None:
                    partition = partition_of(message.key.encode(), partitions)
                place = TopicPartition(topic, partition)
                batches = waiting.setdefault(place, [])
                self._append(batches, message)
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

    def _append(self, batches: list[BatchBuilder], message: Message) -> None:
        if batches and _fits(batches[-1], message):
            return
        batches.append(self._producer.create_batch())
        if not _fits(batches[-1], message):
            raise ValueError(f"a message of {len(message.value)} bytes fits in no batch")


def _fits(batch: BatchBuilder, message: Message) -> bool:
    """Append the message to the batch; False when the batch is full."""
    appended = batch.append(
        key=message.key.encode(),
        value=message.value,
        timestamp=None,
        headers=_headers(message),
    )
    return appended is not None


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
        found: list[Record] = []
        for records in batches.values():
            found += map(_record, records)
        return found

    async def rewind(self, place: Place, offset: int) -> None:
        partition = TopicPartition(*place)
        # Another member may own it by now.
        if partition in self._consumer.assignment():
            self._consumer.seek(partition, offset)

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


class _SeekOnAssignment(ConsumerRebalanceListener):
    """Reads each new partition from where the database says."""

    def __init__(self, consumer: AIOKafkaConsumer, positions: Positions) -> None:
        self._consumer = consumer
        self._positions = positions

    async def on_partitions_revoked(self, revoked) -> None:
        pass

    async def on_partitions_assigned(self, assigned) -> None:
        left: dict[Place, int] = {}
        for one in assigned:
            left[Place(one.topic, one.partition)] = await self._consumer.committed(one) or 0
        ends = await self._consumer.end_offsets(assigned)
        for place, offset in (await self._positions(left)).items():
            partition = TopicPartition(*place)
            # A topic that was filled again holds no fact twice and may be shorter.
            if offset > ends[partition]:
                offset = 0
            self._consumer.seek(partition, offset)


class KafkaReader:
    """See `shared.messaging.bus.Reader`."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer

    async def newest(self, topic: str, partitions: int) -> dict[int, Record]:
        places = [TopicPartition(topic, partition) for partition in range(partitions)]
        ends = await self._consumer.end_offsets(places)
        found: dict[int, Record] = {}
        for place, end in ends.items():
            if end:
                records = await self.read(Place(topic, place.partition), end - 1, limit=1)
                found[place.partition] = records[-1]
        return found

    async def read(self, place: Place, offset: int, *, limit: int) -> list[Record]:
        partition = TopicPartition(*place)
        self._consumer.assign([partition])
        end = (await self._consumer.end_offsets([partition]))[partition]
        if offset >= end:
            return []
        self._consumer.seek(partition, offset)
        async with asyncio.timeout(READ_SECONDS):
            while True:
                found = await self._consumer.getmany(timeout_ms=1000, max_records=limit)
                for records in found.values():
                    return [_record(record) for record in records]

    async def ends(self, places: Collection[Place]) -> dict[Place, int]:
        found = await self._consumer.end_offsets([TopicPartition(*place) for place in places])
        return {Place(one.topic, one.partition): end for one, end in found.items()}

    async def at(self, offsets: Mapping[Place, int]) -> dict[Place, Record]:
        waiting = {TopicPartition(*place): offset for place, offset in offsets.items()}
        found: dict[Place, Record] = {}
        deadline = time.monotonic() + AT_SECONDS
        while waiting and time.monotonic() < deadline:
            self._consumer.assign(list(waiting))
            for partition, offset in waiting.items():
                self._consumer.seek(partition, offset)
            batches = await self._consumer.getmany(timeout_ms=500)
            for partition, records in batches.items():
                if records:
                    del waiting[partition]
                    found[Place(partition.topic, partition.partition)] = _record(records[0])
        return found


def _refuse_failed(answer) -> None:
    """Raise what the broker answered about each topic; another process may have made one."""
    for topic, code, text in answer.topic_errors:
        error = for_code(code)
        if error not in {NoError, TopicAlreadyExistsError}:
            raise TopicRefusedError(f"topic {topic} is not made: {error.__name__}: {text}")


async def _wait_until_led(admin: AIOKafkaAdminClient, topics: list[str]) -> None:
    """Return when the new topics can be used: a broker hears of them a little later."""
    async with asyncio.timeout(LED_SECONDS):
        while True:
            led = 0
            for topic in await admin.describe_topics(topics):
                partitions = topic["partitions"]
                led += bool(partitions) and all(one["leader"] >= 0 for one in partitions)
            if led == len(topics):
                return
            await asyncio.sleep(0.05)


async def _minimums(admin: AIOKafkaAdminClient, topics: Sequence[str]) -> dict[str, int]:
    """How many copies in step a write to each of these topics needs."""
    asked: list[ConfigResource] = []
    for topic in topics:
        asked.append(ConfigResource(ConfigResourceType.TOPIC, topic, {"min.insync.replicas": ""}))
    minimums: dict[str, int] = {}
    # `Any`: each version of the answer has a class of its own.
    answers: list[Any] = list(await admin.describe_configs(asked))
    for answer in answers:
        for _code, _text, _kind, topic, entries in answer.resources:
            for _name, value, *_rest in entries:
                minimums[topic] = int(value)
    return minimums


@dataclass(frozen=True)
class KafkaSecurity:
    """Encryption and login of every client; by default neither."""

    protocol: str = "PLAINTEXT"
    ca_file: Path | None = None
    """The authority of the brokers' certificates; None: those that the system trusts."""
    mechanism: str = "SCRAM-SHA-512"
    username: str = ""
    password: str = field(default="", repr=False)

    def arguments(self) -> dict[str, Any]:
        """What aiokafka's clients take."""
        if self.protocol == "PLAINTEXT":
            return {}
        ca_file = None if self.ca_file is None else str(self.ca_file)
        found: dict[str, Any] = {
            "security_protocol": self.protocol,
            "ssl_context": create_default_context(cafile=ca_file),
        }
        if self.protocol == "SASL_SSL":
            found["sasl_mechanism"] = self.mechanism
            found["sasl_plain_username"] = self.username
            found["sasl_plain_password"] = self.password
        return found


class KafkaBus:
    """The bus on a cluster of brokers.

    With two copies or more, a write is acknowledged when at least two have it, so that one broker
    can be lost with everything on its disk.

    Args:
        bootstrap: `host:port[,host:port…]`.
        replication: copies of each partition of the topics that are made here.
        security: how the brokers are spoken to.
    """

    def __init__(
        self, bootstrap: str, *, replication: int = 1, security: KafkaSecurity | None = None
    ) -> None:
        self._bootstrap = bootstrap
        self._security = (security or KafkaSecurity()).arguments()
        self._replication = replication
        self._minimum = min(2, replication)

    @asynccontextmanager
    async def _admin(self) -> AsyncGenerator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(
            bootstrap_servers=self._bootstrap, request_timeout_ms=10_000, **self._security
        )
        try:
            await admin.start()
            yield admin
        finally:
            await admin.close()

    async def _ask(self, question: Callable[[AIOKafkaAdminClient], Awaitable[T]]) -> T:
        """Put a question to any broker; one that has just died is passed over."""
        async with self._admin() as admin:
            for _ in range(ATTEMPTS):
                with contextlib.suppress(NodeNotReadyError):
                    return await question(admin)
                await asyncio.sleep(0.1)
            return await question(admin)

    async def ensure_topics(self, topics: Sequence[str]) -> None:
        async def ensure(admin: AIOKafkaAdminClient) -> None:
            present = set(await admin.list_topics())
            missing = [topic for topic in topics if topic not in present]
            if missing:
                _refuse_failed(await admin.create_topics(list(map(self._new, missing))))
                await _wait_until_led(admin, missing)

        await self._ask(ensure)

    def _new(self, topic: str) -> NewTopic:
        settings = {**TOPIC_SETTINGS, "min.insync.replicas": str(self._minimum)}
        return NewTopic(topic, PARTITIONS, self._replication, topic_configs=settings)

    async def lacking_copies(self, topics: Sequence[str]) -> dict[str, LackingCopies]:
        async def count(admin: AIOKafkaAdminClient) -> dict[str, LackingCopies]:
            lacking = dict.fromkeys(
                topics, LackingCopies(PARTITIONS * self._replication, PARTITIONS)
            )
            minimums = await _minimums(admin, topics)
            for found in await admin.describe_topics(list(topics)):
                minimum = minimums.get(found["topic"], self._minimum)
                if found["partitions"]:
                    lacking[found["topic"]] = self._count(found["partitions"], minimum=minimum)
            return lacking

        return await self._ask(count)

    def _count(self, partitions, *, minimum: int) -> LackingCopies:
        missing, below = 0, 0
        for partition in partitions:
            in_sync = len(partition["isr"])
            missing += max(self._replication, len(partition["replicas"])) - in_sync
            # A partition that nobody leads names the last copies that were in step.
            if in_sync < minimum or partition["leader"] < 0:
                below += 1
        return LackingCopies(missing, below, minimum < self._minimum)

    async def partitions(self, topic: str) -> int:
        found = await self._ask(lambda admin: admin.describe_topics([topic]))
        partitions = len(found[0]["partitions"])
        if not partitions:
            raise LookupError(f"topic {topic} does not exist")
        return partitions

    @asynccontextmanager
    async def reader(self) -> AsyncGenerator[KafkaReader]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            **self._security,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=BATCH_BYTES,
        )
        try:
            await consumer.start()
            yield KafkaReader(consumer)
        finally:
            await consumer.stop()

    @asynccontextmanager
    async def publisher(self) -> AsyncGenerator[KafkaPublisher]:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            **self._security,
            enable_idempotence=True,
            acks="all",
            linger_ms=0,
            max_batch_size=BATCH_BYTES,
            max_request_size=BATCH_BYTES,
            request_timeout_ms=10_000,
        )
        try:
            await producer.start()
            yield KafkaPublisher(producer)
        finally:
            await producer.stop()

    @asynccontextmanager
    async def subscription(
        self, group: str, topics: Sequence[str], *, positions: Positions | None = None
    ) -> AsyncGenerator[KafkaSubscription]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            **self._security,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=1000,
            fetch_max_wait_ms=500,
            session_timeout_ms=6_000,  # how long a killed worker keeps its partitions
            heartbeat_interval_ms=1_000,
            metadata_max_age_ms=30_000,
        )
        listener = None if positions is None else _SeekOnAssignment(consumer, positions)
        consumer.subscribe(topics, listener=listener)
        subscription = KafkaSubscription(consumer)
        try:
            await consumer.start()
            yield subscription
        finally:
            with contextlib.suppress(KafkaError, TimeoutError):
                async with asyncio.timeout(2):
                    await subscription.commit()
            await consumer.stop()

    async def ready(self) -> bool:
        try:
            _ = await self._ask(lambda admin: admin.list_topics())
        except (KafkaError, OSError):
            return False
        return True
