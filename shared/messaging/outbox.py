"""Outbox: events written with the business rows, and the relay that hands them to the bus.

Order per key: whoever changes an aggregate locks its row, so two events of one key get their
positions in commit order. The relay reads all committed rows in the order of their positions (and
remembers no last id, because rows are not committed in the order of their ids).

In one transaction the relay moves a batch from the outbox into the fact log, and gives each fact
the next number of its topic and partition. Only then it sends the batch. After a crash it sends
again what was numbered and perhaps not sent, with the same numbers, by which each consumer knows
what it has taken. The fact log is never shortened by the relay: a topic that lost facts, or all of
them, is filled again from it (docs/adr/0019).
"""

import asyncio
import time
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
from shared.messaging.bus import Bus, Publisher
from shared.messaging.fact_log import FactLog, RefusedError, note_refusal
from shared.messaging.topic_check import TAIL, TopicCheck

CHANNEL = "outbox"
BATCH = 1000
LEADER_LOCK = 0x746F6E67  # "tong": one relay per database
SLOW_POLL = 1.0
"""Seconds between two looks at the outbox when no notification comes."""
RETRY_AFTER = 0.5
"""Seconds before the relay begins again after an error."""

TOPIC_CHECK = 30.0
"""Seconds between two comparisons of the topic with the fact log."""

CLAIM = (
    "SELECT position, topic, key, event_id, payload, recorded_at FROM outbox"
    " ORDER BY position LIMIT $1"
)
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

    Args:
        topic: the service's topic; it is compared with the database before anything is published.
        rebuildable: see `TopicCheck`.
    """

    def __init__(
        self,
        database: Database,
        bus: Bus,
        *,
        topic: str = "",
        rebuildable: bool = False,
        batch: int = BATCH,
    ) -> None:
        self._database = database
        self._bus = bus
        self._topic = topic
        self._rebuildable = rebuildable
        self._batch = batch
        self._wake = asyncio.Event()
        self.leading = False

    async def run(self) -> None:
        """Work until cancelled; a lost database or bus is waited for."""
        while True:
            try:
                await self._lead()
            except RefusedError as error:
                log.error("relay.refused", reason=str(error))  # noqa: TRY400 - no traceback
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
                tail = TAIL
                while True:
                    # Numbers are read anew: another process may have led since.
                    publishing = await self.begin(connection, publisher, tail=tail)
                    await self._publish_until_check(publishing)
                    tail = 0  # The last record is our own by now.
        except RefusedError as error:
            await note_refusal(connection, str(error))
            raise
        finally:
            await connection.close(timeout=2)

    async def begin(
        self, connection: asyncpg.Connection, publisher: Publisher, *, tail: int = TAIL
    ) -> "Publishing":
        """Compare the topic with the database, as a relay does when it begins to lead.

        Args:
            tail: see `shared.messaging.topic_check.ends_of`.

        Raises:
            RefusedError: they do not fit together.
        """
        facts = FactLog(connection, self._bus)
        await facts.ensure_months()
        if self._topic:
            check = TopicCheck(facts, self._topic, rebuildable=self._rebuildable, tail=tail)
            await check.run(self._bus, batch=self._batch)
        await note_refusal(connection, None)
        return Publishing(connection, publisher, facts=facts, batch=self._batch)

    async def _publish_until_check(self, publishing: "Publishing") -> None:
        """Publish until the topic should be compared again: a quiet time, or a refill is asked."""
        compared = looked = time.monotonic()
        while True:
            self._wake.clear()
            if await publishing.publish_batch() >= self._batch:
                continue  # There may be more; whatever comes after a smaller batch wakes us.
            # After publishing, so that no event waits for it.
            if time.monotonic() - looked >= SLOW_POLL:
                looked = time.monotonic()
                if await publishing.facts.refill():
                    return
            _ = await self._woken()
            if time.monotonic() - compared >= TOPIC_CHECK:
                return

    async def _woken(self) -> bool:
        """Wait for a notification; False when none came.

        The outbox is looked at in any case: a notification may have been lost with a connection.
        """
        try:
            async with asyncio.timeout(SLOW_POLL):
                return await self._wake.wait()
        except TimeoutError:
            return False


class Publishing:
    """The time during which a relay leads, without a fault."""

    def __init__(
        self,
        connection: asyncpg.Connection,
        publisher: Publisher,
        *,
        facts: FactLog,
        batch: int = BATCH,
    ) -> None:
        self.facts = facts
        self._connection = connection
        self._publisher = publisher
        self._batch = batch
        self._all_sent = False

    async def publish_batch(self) -> int:
        """Number the oldest rows of the outbox and publish them; the number of them.

        What was numbered before and perhaps not sent goes first.
        """
        resent = 0
        if not self._all_sent:
            resent = await self._send_unsent()
        rows = await self._connection.fetch(CLAIM, self._batch)
        if not rows:
            return resent
        messages = await self.facts.number(rows)
        # If the bus refuses, these are read from the log the next time.
        self._all_sent = False
        await self._publisher.publish(messages)
        await self.facts.mark_all_sent()
        self._all_sent = True
        return resent + len(rows)

    async def _send_unsent(self) -> int:
        """Send what is numbered and not known as sent; the number of facts."""
        total = 0
        for place in list(self.facts.positions):
            while messages := await self.facts.unsent(place, limit=self._batch):
                await self._publisher.publish(messages)
                last = messages[-1].number
                assert last is not None
                await self.facts.mark_sent(place, last)
                total += len(messages)
        self._all_sent = True
        return total
