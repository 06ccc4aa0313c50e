"""Outbox: events written with the business rows, and the relay that hands them to the bus.

Order per key: whoever changes an aggregate locks its row, so two events of one key get their positions in commit order.
The relay reads all committed rows in position order (never past a remembered id: commit order is not id order), publishes
a batch, and deletes it once the bus has acknowledged all of it. A crash in between publishes again; the inbox knows them.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg
import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database.direct import UntypedDirect
from shared.database.session import Database, is_database_trouble
from shared.database.tables import OutboxRow
from shared.events.base import Event, seal, topic_of
from shared.messaging.bus import Bus, Message, Publisher

CHANNEL = "outbox"
BATCH = 1000
LEADER_LOCK = 0x746F6E67  # "tong": one relay per database
SLOW_POLL = 1.0
RETRY_AFTER = 0.5

CLAIM = "SELECT position, topic, key, payload FROM outbox ORDER BY position LIMIT $1"
DELETE = "DELETE FROM outbox WHERE position = ANY($1::bigint[])"

INSERT = (
    "INSERT INTO outbox (topic, key, event_id, payload) SELECT e.topic, e.key, e.id, e.payload"
    " FROM unnest(CAST(:topics AS text[]), CAST(:keys AS text[]), CAST(:ids AS uuid[]), CAST(:payloads AS bytea[]))"
    " WITH ORDINALITY AS e (topic, key, id, payload, place) ORDER BY e.place"
)
ADD_MANY = UntypedDirect(INSERT)

log = structlog.get_logger(__name__)


def add(session: AsyncSession, event: Event) -> None:
    """Write the event in the caller's transaction; nothing else happens here."""
    session.add(OutboxRow(**entry(event)))


def entry(event: Event) -> dict[str, Any]:
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
    sealed = [(topic_of(event.service), event.key, *seal(event)) for event in events]
    if sealed:
        columns = zip(("topics", "keys", "ids", "payloads"), zip(*sealed, strict=True), strict=True)
        _ = await ADD_MANY.fetch(session, **{name: list(values) for name, values in columns})


class Relay:
    """Publishes one database's outbox. Any number may run; the holder of an advisory lock works, the others wait."""

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
                # The bus's own error types stay behind its interface; whatever it was, the rows are still here.
                if is_database_trouble(error):
                    log.warning("relay.waiting", error=type(error).__name__)
                else:
                    log.exception("relay.failed")
            self.leading = False
            await asyncio.sleep(RETRY_AFTER)

    async def _lead(self) -> None:
        connection = await self._database.connect()
        try:
            while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LEADER_LOCK):  # noqa: ASYNC110 - the lock lives in PostgreSQL
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
                continue  # There may be more; below a full batch whatever comes later wakes us.
            try:
                async with asyncio.timeout(SLOW_POLL):
                    _ = await self._wake.wait()
            except TimeoutError:
                pass  # The slow poll: a notification may have been lost with a connection.

    async def publish_batch(self, connection: asyncpg.Connection, publisher: Publisher) -> int:
        """Publish the oldest rows and delete them; the number published."""
        rows = await connection.fetch(CLAIM, self._batch)
        if rows:
            await publisher.publish(
                [Message(row["topic"], row["key"], row["payload"]) for row in rows]
            )
            _ = await connection.execute(DELETE, [row["position"] for row in rows])
        return len(rows)
