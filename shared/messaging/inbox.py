"""Inbox: each event has its effect once; events that fail are set aside in order, others go on.

The id of a handled event is recorded in the transaction of its effect. A polled batch is one
transaction. When it fails, each of its events gets its own, and the one that fails becomes a dead
letter in this database, together with the later events of its key. Dead letters are tried again
with a growing pause; after the last attempt a person decides (`shared.messaging.dead_letters`).
Offsets are acknowledged after the commit.

The name of the consumer group belongs to the database (`shared.database.tables.InboxGroup`): a new
database is filled from the beginning of every topic, even under a running worker.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar
from uuid import NAMESPACE_URL, UUID, uuid5

import asyncpg
import structlog
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from shared import context, logs, metrics
from shared.context import Context
from shared.database.direct import Direct
from shared.database.session import Database, is_database_trouble
from shared.errors import ProblemError
from shared.events.base import Envelope, Event, parse_envelope, topic_of
from shared.messaging.bus import Bus, Record

E = TypeVar("E", bound=Event)
# `Any`: each handler takes the event types that it is registered for.
Handler = Callable[[AsyncSession, Any], Awaitable[None]]
BatchHandler = Callable[[AsyncSession, Sequence[Any]], Awaitable[None]]
EnvelopeHandler = Callable[[AsyncSession, Sequence[Envelope]], Awaitable[None]]

BATCH = 1000
PAUSES = (1.0, 5.0, 30.0, 120.0, 600.0)
"""Seconds before each further attempt of a dead letter; then it waits for a person."""
RETRY_POLL = 0.5
DATABASE_PAUSE = 0.5

REMEMBER = text(
    "INSERT INTO inbox (event_id) SELECT unnest(CAST(:ids AS uuid[]))"
    " ON CONFLICT DO NOTHING RETURNING event_id"
)


class AdmittedRow(NamedTuple):
    """What is known of an event's id."""

    what: Literal["new", "behind", "group"]
    id: UUID


ADMIT = Direct(
    "WITH given AS (SELECT * FROM unnest("
    "  CAST(:ids AS uuid[]), CAST(:topics AS text[]), CAST(:keys AS text[]))"
    "  AS g (id, topic, key)),"
    " behind AS (SELECT id FROM given g WHERE EXISTS"
    "  (SELECT FROM dead_letter d WHERE d.topic = g.topic AND d.key = g.key)),"
    " remembered AS (INSERT INTO inbox (event_id)"
    "  SELECT id FROM given WHERE id NOT IN (SELECT id FROM behind)"
    "  ON CONFLICT DO NOTHING RETURNING event_id)"
    " SELECT 'new' AS what, event_id AS id FROM remembered"
    " UNION ALL SELECT 'behind', id FROM behind UNION ALL SELECT 'group', id FROM inbox_group",
    AdmittedRow,
)
"""In one round trip: the events that are new (and remembered now), those that wait behind a dead
letter, and the group's name."""
PARK = text(
    "INSERT INTO dead_letter (event_id, topic, key, type, payload, error)"
    " VALUES (:event_id, :topic, :key, :type, :payload, :error) ON CONFLICT (event_id) DO NOTHING"
)


class DueLetter(NamedTuple):
    """The next dead letter to be tried again."""

    position: int
    event_id: UUID
    payload: bytes
    attempts: int


NEXT_DUE = text(
    "SELECT position, event_id, payload, attempts FROM dead_letter d"
    " WHERE NOT gave_up AND next_attempt_at <= clock_timestamp() AND NOT EXISTS ("
    "  SELECT 1 FROM dead_letter e"
    "  WHERE e.topic = d.topic AND e.key = d.key AND e.position < d.position)"
    " ORDER BY next_attempt_at LIMIT 1 FOR UPDATE OF d SKIP LOCKED"
)
GROUP = text("SELECT id FROM inbox_group")
FORGET = text("DELETE FROM dead_letter WHERE position = :position")
POSTPONE = text(
    "UPDATE dead_letter SET attempts = attempts + 1, error = :error, gave_up = :gave_up,"
    " next_attempt_at = clock_timestamp() + make_interval(secs => :pause)"
    " WHERE position = :position"
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Item:
    """A record with its envelope read."""

    record: Record
    envelope: Envelope


def describe(error: BaseException) -> str:
    """The class of an error and, for our own, its text; other texts can quote personal data."""
    name = type(error).__name__
    if isinstance(error, ProblemError):
        return f"{name}: {error}"
    frames = logs.places(error.__traceback__)
    if not frames:
        return name
    return f"{name} at {frames[-1]}"


class OtherDatabaseError(Exception):
    """The database was replaced since the subscription began.

    What was read for it does not count.
    """


class Consumer:
    """The events that a service listens to, and their handlers.

    `@consumer.on(CaseAccepted)` gets one event. `@consumer.on_batch(A, B)` gets neighbouring events
    of these types together, for read models. `@consumer.on_envelopes(A, B)` gets the envelopes of
    these types, all of a batch together and in its order, besides the other handlers: for keeping
    facts as they came, with id, key, revision and causes.

    Args:
        service: name of the service.
        period: least seconds from one batch to the next, unless a batch is full. A batch costs more
            than its events, so where nobody waits for a single effect, those that come within a
            period are handled together; after a quiet time one alone is handled at once.
    """

    def __init__(self, service: str, *, period: float = 0.0) -> None:
        self.service = service
        self.period = period
        # `Any`: each service has its own class of settings, and its handlers know it.
        self.settings: Any = None
        """The service's settings, set by whoever starts its worker; None in tests without one."""
        self._handlers: dict[str, Handler] = {}
        self._batch_handlers: dict[str, BatchHandler] = {}
        self._envelope_handlers: list[tuple[frozenset[str], EnvelopeHandler]] = []
        self._topics: set[str] = set()

    def on(
        self, kind: type[E]
    ) -> Callable[
        [Callable[[AsyncSession, E], Awaitable[None]]], Callable[[AsyncSession, E], Awaitable[None]]
    ]:
        """Register a handler of one event type."""

        def register(
            handler: Callable[[AsyncSession, E], Awaitable[None]],
        ) -> Callable[[AsyncSession, E], Awaitable[None]]:
            self._handlers[kind.wire_type] = handler
            self._topics.add(topic_of(kind.service))
            return handler

        return register

    def on_batch(self, *kinds: type[Event]) -> Callable[[BatchHandler], BatchHandler]:
        """Register a handler of neighbouring events of these types."""

        def register(handler: BatchHandler) -> BatchHandler:
            for kind in kinds:
                self._batch_handlers[kind.wire_type] = handler
                self._topics.add(topic_of(kind.service))
            return handler

        return register

    def on_envelopes(self, *kinds: type[Event]) -> Callable[[EnvelopeHandler], EnvelopeHandler]:
        """Register a handler of the envelopes of these types."""

        def register(handler: EnvelopeHandler) -> EnvelopeHandler:
            self._envelope_handlers.append((frozenset(kind.wire_type for kind in kinds), handler))
            self._topics.update(topic_of(kind.service) for kind in kinds)
            return handler

        return register

    @property
    def topics(self) -> list[str]:
        return sorted(self._topics)

    def listens_to(self, event_type: str) -> bool:
        typed = event_type in self._handlers or event_type in self._batch_handlers
        return typed or any(event_type in types for types, _ in self._envelope_handlers)

    async def handle(self, session: AsyncSession, envelopes: Sequence[Envelope]) -> None:
        """Give the events to their handlers, then the envelopes to those who keep them.

        In this order, because a keeper may hold a lock that its replicas wait for until the commit.
        """
        typed: list[Envelope] = []
        for envelope in envelopes:
            if envelope.type in self._handlers or envelope.type in self._batch_handlers:
                typed.append(envelope)
        await self._handle_typed(session, typed)
        for types, keep in self._envelope_handlers:
            kept = [envelope for envelope in envelopes if envelope.type in types]
            if kept:
                await keep(session, kept)

    async def _handle_typed(self, session: AsyncSession, envelopes: Sequence[Envelope]) -> None:
        """Give each event to its handler, in order.

        Neighbours with the same batch handler go together.
        """
        run: list[Event] = []
        running: BatchHandler | None = None
        for envelope in envelopes:
            event = envelope.event()
            batch_handler = self._batch_handlers.get(envelope.type)
            if running is not None and batch_handler is not running:
                await running(session, run)
                run = []
            running = batch_handler
            if event is None:
                continue
            if batch_handler is not None:
                run.append(event)
                continue
            handler = self._handlers.get(envelope.type)
            if handler is not None:
                with context.using(_context_of(envelope)):
                    await handler(session, event)
        if running is not None and run:
            await running(session, run)


def _context_of(envelope: Envelope) -> Context:
    return Context(
        actor=envelope.actor,
        request_id=envelope.correlation,
        traceparent=envelope.traceparent,
        causation=str(envelope.id),
    )


class Inbox:
    """Drains the bus into one database through a `Consumer`."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        *,
        consumer: Consumer,
        pauses: Sequence[float] = PAUSES,
        batch: int = BATCH,
    ) -> None:
        self._database = database
        self._bus = bus
        self._consumer = consumer
        self._group: UUID | None = None
        self._pauses = pauses
        self._batch = batch

    async def run(self) -> None:
        """Consume until cancelled; a lost bus is waited for."""
        if not self._consumer.topics:
            return
        while True:
            try:
                await self._subscribe()
            except OtherDatabaseError:
                log.warning("inbox.other_database")
            except Exception as error:
                # Whatever the bus or the database raised: what is not acknowledged comes again.
                if is_database_trouble(error):
                    log.warning("inbox.waiting", error=type(error).__name__)
                else:
                    log.exception("inbox.failed")
            await asyncio.sleep(DATABASE_PAUSE)

    async def _subscribe(self) -> None:
        async with self._database.reading() as session:
            self._group = await session.scalar(GROUP)
        name = f"{self._consumer.service}.{self._group}"
        async with self._bus.subscription(name, self._consumer.topics) as subscription:
            while True:
                records = await subscription.poll(self._batch, timeout=1.0)
                if records:
                    begun = time.monotonic()
                    await self.take(records)
                    await subscription.acknowledge(records)
                    if len(records) < self._batch:
                        await asyncio.sleep(
                            max(0.0, begun + self._consumer.period - time.monotonic())
                        )
                else:
                    await self._notice_other_database()

    async def _notice_other_database(self) -> None:
        """An idle worker meets a new database here; a busy one in the transaction of each batch."""
        with contextlib.suppress(DBAPIError, OSError, asyncpg.PostgresError):
            async with self._database.reading() as session:
                await self._check_group(session)

    async def _check_group(self, session: AsyncSession) -> None:
        if self._group is not None and await session.scalar(GROUP) != self._group:
            raise OtherDatabaseError

    async def take(self, records: Sequence[Record]) -> None:
        """Give every record its one effect (or park it); returns when all of it is committed."""
        items: list[Item] = []
        for record in records:
            try:
                envelope = parse_envelope(record.value)
            except ValueError as error:
                await self._park(_unreadable(record), error)
                continue
            if self._consumer.listens_to(envelope.type):
                items.append(Item(record, envelope))
        while items:
            try:
                await self._take_batch(items)
                return
            except OtherDatabaseError:
                raise
            except Exception as error:
                if is_database_trouble(error):
                    log.warning("inbox.database_waiting", error=type(error).__name__)
                    await asyncio.sleep(DATABASE_PAUSE)
                    continue
                if len(items) > 1:
                    log.info("inbox.batch_failed", events=len(items), error=type(error).__name__)
                    for item in items:
                        await self._take_alone(item)
                else:
                    await self._park(items[0], error)
                return

    async def _take_alone(self, item: Item) -> None:
        while True:
            try:
                return await self._take_batch([item])
            except OtherDatabaseError:
                raise
            except Exception as error:
                if not is_database_trouble(error):
                    return await self._park(item, error)
                await asyncio.sleep(DATABASE_PAUSE)

    async def _take_batch(self, items: Sequence[Item]) -> None:
        async with self._database.transaction() as session:
            new, behind = await self._admit(session, items)
            await self._consumer.handle(session, _once(items, new))
            waiting = [item for item in items if item.envelope.id in behind]
            for item in await self._not_handled(session, waiting):
                _ = await session.execute(
                    PARK, _letter(item, "waits behind an earlier event of its key")
                )
        metrics.CONSUMED.labels(self._consumer.service).inc(len(items))

    async def _admit(
        self, session: AsyncSession, items: Sequence[Item]
    ) -> tuple[set[UUID], set[UUID]]:
        """The ids that are new here, and those that wait behind a dead letter of their key."""
        found: dict[str, set[UUID]] = {"new": set(), "behind": set(), "group": set()}
        rows = await ADMIT.fetch(
            session,
            ids=[item.envelope.id for item in items],
            topics=[item.record.topic for item in items],
            keys=[item.envelope.key for item in items],
        )
        for row in rows:
            found[row.what].add(row.id)
        if self._group is not None and self._group not in found["group"]:
            raise OtherDatabaseError
        return found["new"], found["behind"]

    async def _not_handled(self, session: AsyncSession, items: Sequence[Item]) -> Sequence[Item]:
        """The items without an effect yet: an event must not be parked after it was handled."""
        if not items:
            return items
        known = await session.execute(
            text("SELECT event_id FROM inbox WHERE event_id = ANY(CAST(:ids AS uuid[]))"),
            {"ids": [item.envelope.id for item in items]},
        )
        handled = set(known.scalars())
        return [item for item in items if item.envelope.id not in handled]

    async def _park(self, item: Item, error: BaseException) -> None:
        log.warning(
            "inbox.parked",
            event_id=str(item.envelope.id),
            type=item.envelope.type,
            error=describe(error),
        )
        metrics.PARKED.labels(self._consumer.service).inc()
        while True:
            try:
                async with self._database.transaction() as session:
                    _ = await session.execute(PARK, _letter(item, describe(error)))
                return
            except Exception as trouble:
                if not is_database_trouble(trouble):
                    raise
                await asyncio.sleep(DATABASE_PAUSE)

    async def run_retries(self) -> None:
        """Try due dead letters again, the first of each key, until cancelled.

        Any number of replicas may do so.
        """
        while True:
            try:
                while await self.retry_one():
                    pass
            except Exception as error:
                if not is_database_trouble(error):
                    log.exception("inbox.retry_failed")
            await asyncio.sleep(RETRY_POLL)

    async def retry_one(self) -> bool:
        """Try one due dead letter; False when none is due.

        Its success frees the next of its key.
        """
        async with self._database.transaction() as session:
            due = (await session.execute(NEXT_DUE)).one_or_none()
            if due is None:
                return False
            letter = DueLetter(*due)
            try:
                async with session.begin_nested():
                    remembered = await session.execute(REMEMBER, {"ids": [letter.event_id]})
                    if remembered.scalars().all():
                        await self._consumer.handle(session, [parse_envelope(letter.payload)])
                _ = await session.execute(FORGET, {"position": letter.position})
            except Exception as error:
                if is_database_trouble(error):
                    raise
                postponed = self._postponed(letter.position, attempts=letter.attempts, error=error)
                _ = await session.execute(POSTPONE, postponed)
        return True

    def _postponed(
        self, position: int, *, attempts: int, error: BaseException
    ) -> dict[str, object]:
        gave_up = attempts >= len(self._pauses)
        pause = 0.0
        if self._pauses:
            pause = self._pauses[min(attempts, len(self._pauses) - 1)]
        return {"position": position, "error": describe(error), "gave_up": gave_up, "pause": pause}


def _once(items: Sequence[Item], new: set[UUID]) -> list[Envelope]:
    """The envelopes of `new` ids in order, each once even when a batch holds it twice."""
    first: dict[UUID, Envelope] = {}
    for item in items:
        if item.envelope.id in new:
            _ = first.setdefault(item.envelope.id, item.envelope)
    return list(first.values())


def _unreadable(record: Record) -> Item:
    """A record that is no CloudEvent of ours: its id is made of its place in the topic."""
    place = uuid5(NAMESPACE_URL, f"{record.topic}/{record.partition}/{record.offset}")
    return Item(record, Envelope(place, "unreadable", record.key, 0, None, "", "", "system", {}))


def _letter(item: Item, error: str) -> dict[str, object]:
    return {
        "event_id": item.envelope.id,
        "topic": item.record.topic,
        "key": item.envelope.key,
        "type": item.envelope.type,
        "payload": item.record.value,
        "error": error,
    }
