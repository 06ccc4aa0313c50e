"""The interface of the bus.

Topics hold messages with a key; consumer groups read them in order per key.

Two buses implement it, `shared.messaging.kafka` and `shared.messaging.local_bus`; the same tests
check both (`tests/contracts/test_bus.py`). Delivery is at least once. Topics are kept, so that a
new group can read them from the start.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """A message to publish: `key` decides the order, `value` is the CloudEvent."""

    topic: str
    key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Record:
    """A message that was read, with its place in the topic."""

    topic: str
    key: str
    value: bytes
    partition: int
    offset: int


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
        """The next records, at most `limit`, in order per key.

        Empty after `timeout` seconds without any.
        """
        ...

    async def acknowledge(self, records: Sequence[Record]) -> None:
        """Record that these have had their effect.

        A lost acknowledgement leads to redelivery, never to loss.
        """
        ...


class Bus(Protocol):
    """Carries events between services."""

    async def ensure_topics(self, topics: Sequence[str]) -> None: ...

    def publisher(self) -> AbstractAsyncContextManager[Publisher]: ...

    def subscription(
        self, group: str, topics: Sequence[str]
    ) -> AbstractAsyncContextManager[Subscription]: ...

    async def ready(self) -> bool:
        """Whether the bus answers now."""
        ...
