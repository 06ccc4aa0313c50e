"""Outbox: events written with the business rows, and the relay that hands them to the bus.

Order per key: whoever changes an aggregate locks its row, so two events of one key get their
positions in commit order. The relay reads all committed rows in the order of their positions (and
remembers no last id, because rows are not committed in the order of their ids), publishes a batch,
and deletes it once the bus has acknowledged all of it. A crash in between publishes the batch
again; the inbox of each consumer recognises the events.
"""

import asyncio
from collections.abc import Sequence
from typing import TypedDict
from uuid import UUID

import asyncpg
import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database.direct import command
from shared.database.session import Database, is_database_trouble
from shared.database.tables import OutboxRow
from shared.events.base import Event, seal, topic_of
from shared.messaging.bus import Bus, Message, Publisher

CHANNEL = "outbox"
BATCH = 1000
LEADER_LOCK = 0x746F6E67  # "tong": one relay per database
SLOW_POLL = 1.0
"""Seconds between two looks at the outbox when no notification comes."""
RETRY_AFTER = 0.5
"""Seconds before the relay begins again after an error."""

CLAIM = "SELECT position, topic, key, payload FROM outbox ORDER BY position LIMIT $1"
DELETE = "DELETE FROM outbox WHERE position = ANY($1::bigint[])"

INSERT = (
    "INSERT INTO outbox (topic, key, event_id, payload) SELECT e.topic, e.key, e.id, e.payload"
    " FROM unnest(CAST(:topics AS text[]), CAST(:keys AS text[]),"
    "  CAST(:ids AS uuid[]), CAST(:payloads AS bytea[]))"
    " WITH ORDINALITY AS e (topic, key, id, payload, place) ORDER BY e.place"
)
ADD_MANY = command(INSERT)

log = structlog.get_logger(__name__)


def add(session: AsyncSession, event: Event) -> None:
    """Write the event in the caller's transaction; the relay publishes it after the commit."""
    session.add(OutboxRow(**entry(event)))


class OutboxEntry(TypedDict):
    """The columns of an event's row."""

    topic: str
    key: str
    event_id: UUID
    payload: bytes


def entry(event: Event) -> OutboxEntry:
    """The columns of the event's row, for a statement that writes it together with others."""
    event_id, payload = seal(event)
    return {
        "topic": topic_of(event.service),
        "key": event.key,
        "event_id": event_id,
        "payload": payload,
    }


async def add_many(session: AsyncSession, events: Sequence[Event]) -> None:
    """Write many events in one statement, in their order: for imports and other bulk work."""
    if not events:
        return
    sealed = [seal(event) for event in events]
    await ADD_MANY.execute(
        session,
        topics=[topic_of(event.service) for event in events],
        keys=[event.key for event in events],
        ids=[event_id for event_id, _ in sealed],
        payloads=[payload for _, payload in sealed],
    )


class Relay:
    """Publishes one database's outbox.

    Any number may run: the one that holds an advisory lock works, the others wait for it.
    """

    def __init__(self, database: Database, bus: Bus, *, batch: int = BATCH) -> None:
        self._database = database
        self._bus = bus
        self._batch = batch
        self._wake = asyncio.Event()
        self.leading = False

    async def run(self) -> None:
        """Work until cancelled; a lost database or bus is waited for."""
        while True:
            try:
                await self._lead()
            except Exception as error:
                # The relay does not know the bus's own errors; whatever it was, no row is lost.
                if is_database_trouble(error):
                    log.warning("relay.waiting", error=type(error).__name__)
                else:
                    log.exception("relay.failed")
            self.leading = False
            await asyncio.sleep(RETRY_AFTER)

    async def _lead(self) -> None:
        connection = await self._database.connect()
        try:
            while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LEADER_LOCK):  # noqa: ASYNC110 - PostgreSQL holds the lock
                await asyncio.sleep(SLOW_POLL)
            self.leading = True
            await connection.add_listener(CHANNEL, lambda *_: self._wake.set())
            async with self._bus.publisher() as publisher:
                await self._publish_forever(connection, publisher)
        finally:
            await connection.close(timeout=2)

    async def _publish_forever(self, connection: asyncpg.Connection, publisher: Publisher) -> None:
        while True:
            self._wake.clear()
            if await self.publish_batch(connection, publisher) == self._batch:
                continue  # There may be more; whatever comes after a smaller batch wakes us.
            try:
                async with asyncio.timeout(SLOW_POLL):
                    _ = await self._wake.wait()
            except TimeoutError:
                pass  # Look again: a notification may have been lost with a connection.

    async def publish_batch(self, connection: asyncpg.Connection, publisher: Publisher) -> int:
        """Publish the oldest rows and delete them; the number published."""
        rows = await connection.fetch(CLAIM, self._batch)
        if rows:
            await publisher.publish(
                [Message(row["topic"], row["key"], row["payload"]) for row in rows]
            )
            _ = await connection.execute(DELETE, [row["position"] for row in rows])
        return len(rows)
