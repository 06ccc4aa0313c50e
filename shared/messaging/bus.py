"""The bus interface: messages with a key go to a topic, each consumer group reads every topic in order per key.

Two buses implement it: `shared.messaging.kafka` and `shared.messaging.local_bus`; one contract-test suite holds both
(`tests/contracts/test_bus.py`). Delivery is at least once; a topic is kept, so that a new group can replay it.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """What a relay hands over: `key` decides the order, `value` are the CloudEvents bytes."""

    topic: str
    key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Record:
    """What a consumer gets: the message and its place in the topic."""

    topic: str
    key: str
    value: bytes
    partition: int
    offset: int


class Publisher(Protocol):
    """Hands messages to the bus."""

    async def publish(self, messages: Sequence[Message]) -> None:
        """Return when every message is durable on the bus. On any error the caller publishes the same batch again."""
        ...


class Subscription(Protocol):
    """One member of a consumer group."""

    async def poll(self, limit: int, timeout: float) -> Sequence[Record]:
        """The next records, at most `limit`, in order per key; empty after `timeout` seconds without any."""
        ...

    async def acknowledge(self, records: Sequence[Record]) -> None:
        """Record the progress: these have had their effect. A lost acknowledgement leads to redelivery, never to loss."""
        ...


class Bus(Protocol):
    """Where facts travel."""

    async def ensure_topics(self, topics: Sequence[str]) -> None: ...

    def publisher(self) -> AbstractAsyncContextManager[Publisher]: ...

    def subscription(
        self, group: str, topics: Sequence[str]
    ) -> AbstractAsyncContextManager[Subscription]: ...

    async def ready(self) -> bool:
        """Whether the bus answers now."""
        ...
