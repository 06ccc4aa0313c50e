"""The interface of the bus: topics of messages with a key.

Consumer groups read them in order per key. Two buses implement it, `shared.messaging.kafka` and
`shared.messaging.local_bus`; the same tests check both (`tests/contracts/test_bus.py`). Delivery is
at least once. Topics are kept, so that a new group can read them from the start.

Each published fact carries a number of its topic and partition (`FactNumber`), which its producer
keeps in its database (`shared.messaging.outbox`). Consumers keep the last number that they have
taken in theirs (`shared.messaging.inbox`). Offsets of the bus only say where to read.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from struct import unpack
from typing import NamedTuple, Protocol
from uuid import NAMESPACE_URL, UUID, uuid5


class Place(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


class FactNumber(NamedTuple):
    """The number of a fact within its topic and partition. Numbers compare as tuples do.

    Within an epoch numbers begin at 1 and have no gaps. A producer begins a new epoch after it was
    restored to a moment before facts that it had published.
    """

    epoch: int
    number: int

    @property
    def next(self) -> "FactNumber":
        return FactNumber(self.epoch, self.number + 1)


NO_FACT = FactNumber(0, 0)
"""Before the first fact of a partition."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message to publish: `key` decides the order, `value` is the CloudEvent.

    Without a `number` it is a message as releases before 0.2 published it.
    """

    topic: str
    key: str
    value: bytes
    number: FactNumber | None = None
    event_number: int = 0
    """Number of the event among those of its key; 0 of an event of a release before 0.2."""
    partition: int | None = None
    """Of a numbered message: the number is one of this partition."""
    highest: FactNumber | None = None
    """Of one that is sent again: the newest number of its partition by then.

    It may be the last of its partition for a while, and must not hide that there are newer ones.
    """
    follows: FactNumber | None = None
    """Of the first of an epoch: the last number of its partition before the epoch."""


@dataclass(frozen=True, slots=True)
class Record:
    """A message that was read, with its place in the topic."""

    topic: str
    key: str
    value: bytes
    partition: int
    offset: int
    number: FactNumber | None = None
    event_number: int = 0
    highest: FactNumber | None = None
    follows: FactNumber | None = None

    @property
    def place(self) -> Place:
        return Place(self.topic, self.partition)


def number_of(record: Record) -> FactNumber:
    """The number of the record; one without is counted by its offset.

    Releases before 0.2 published without numbers. Their records are the first of a partition, and
    none is missing there, so that the offset says how many came before.
    """
    if record.number is not None:
        return record.number
    return FactNumber(0, record.offset + 1)


def highest_of(record: Record) -> FactNumber:
    """The newest number that the partition is known to hold by this record."""
    number = number_of(record)
    if record.highest is None:
        return number
    return max(number, record.highest)


def unreadable_id(record: Record) -> UUID:
    """The id of a record that is no event of ours, made of its place in the topic."""
    return uuid5(NAMESPACE_URL, f"{record.topic}/{record.partition}/{record.offset}")


class LackingCopies(NamedTuple):
    """What a topic lacks of the copies that it should have, over all of its partitions."""

    missing: int
    """Copies that are not there or not in step with their leader."""
    below_minimum: int
    """Partitions with fewer copies in step than a write needs: they take no facts now."""
    minimum_too_low: bool = False
    """Whether the topic acknowledges writes with fewer copies than the settings ask for."""


class TopicRefusedError(Exception):
    """The bus does not make a topic; the text says why, and what to do."""


class Publisher(Protocol):
    """Hands messages to the bus."""

    async def publish(self, messages: Sequence[Message]) -> None:
        """Return when every message is durable on the bus.

        On any error the caller publishes the same batch again.
        """
        ...


class Subscription(Protocol):
    """One member of a consumer group."""

    async def poll(self, limit: int, timeout: float) -> Sequence[Record]:
        """The next records, at most `limit`, in order per key; empty after `timeout` seconds."""
        ...

    async def acknowledge(self, records: Sequence[Record]) -> None:
        """Tell the bus that these have had their effect.

        A lost acknowledgement leads to redelivery, never to loss.
        """
        ...

    async def rewind(self, place: Place, offset: int) -> None:
        """Read the partition from this offset again."""
        ...


Positions = Callable[[Mapping[Place, int]], Awaitable[Mapping[Place, int]]]
"""Asked when partitions are assigned, with the offset at which the group left each (0: nowhere).

Answers the offset at which each is read on.
"""


class Reader(Protocol):
    """Reads without being a member of a group, for comparing a topic with a database."""

    async def newest(self, topic: str, partitions: int) -> Mapping[int, Record]:
        """The last record of each partition of the topic that has one."""
        ...

    async def read(self, place: Place, offset: int, *, limit: int) -> Sequence[Record]:
        """At most `limit` records from `offset` on; empty at the end."""
        ...

    async def ends(self, places: Collection[Place]) -> Mapping[Place, int]:
        """The offset that the next record of each will get."""
        ...

    async def at(self, offsets: Mapping[Place, int]) -> Mapping[Place, Record]:
        """The record at each offset, all before the end; one that does not come is left out."""
        ...


class Bus(Protocol):
    """Carries events between services."""

    async def ensure_topics(self, topics: Sequence[str]) -> None:
        """Make those topics that do not exist.

        Raises:
            TopicRefusedError: the bus refuses, for example for want of brokers.
        """
        ...

    async def lacking_copies(self, topics: Sequence[str]) -> Mapping[str, LackingCopies]:
        """What each topic lacks of the copies that the settings ask for."""
        ...

    async def partitions(self, topic: str) -> int:
        """The number of partitions of a topic.

        Raises:
            LookupError: there is no such topic.
        """
        ...

    def publisher(self) -> AbstractAsyncContextManager[Publisher]: ...

    def reader(self) -> AbstractAsyncContextManager[Reader]: ...

    def subscription(
        self, group: str, topics: Sequence[str], *, positions: Positions | None = None
    ) -> AbstractAsyncContextManager[Subscription]:
        """A member of `group`.

        A partition is read from the offset that `positions` gives, or from its start when it ends
        before that. Without `positions` it is read from where the group left it.
        """
        ...

    async def ready(self) -> bool:
        """Whether the bus answers now."""
        ...


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
