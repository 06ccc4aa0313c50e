"""Inbox: each event has its effect once; events that fail are set aside in order, others go on.

The database keeps the newest number of each partition that has had its effect
(`shared.database.tables.InboxPosition`). It moves on in the transaction of the effects, and only
from the number that this process knows. What stands at or below it is dropped; what does not follow
it directly waits. So a database that was restored to any earlier moment reads again what it lacks,
and a topic that was filled again does no harm (docs/adr/0019). Records of releases before 0.2
carry no number; they are known by their ids.

A polled batch is one transaction. When it fails, each of its events gets its own, and the one that
fails becomes a dead letter in this database, together with the later events of its key. Dead
letters are tried again with a growing pause; after the last attempt a person decides
(`shared.messaging.dead_letters`). An event in a version that this code does not know waits there
too, until code comes that knows it.

The name of the consumer group belongs to the database (`shared.database.tables.InboxGroup`): a new
database is filled from the beginning of every topic, even under a running worker.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar
from uuid import UUID

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
from shared.messaging.bus import (
    Bus,
    FactNumber,
    Place,
    Record,
    Subscription,
    number_of,
    unreadable_id,
)

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
OTHER_VERSION = "this code does not know this version of the event"

REMEMBER = text(
    "INSERT INTO inbox (event_id) SELECT unnest(CAST(:ids AS uuid[]))"
    " ON CONFLICT DO NOTHING RETURNING event_id"
)


class Counted(NamedTuple):
    """A number of rows."""

    number: int


class AdmittedRow(NamedTuple):
    """What is known of an event's id; or, without one, how many partitions moved on."""

    what: Literal["new", "known", "behind", "group", "moved"]
    id: UUID | None
    number: int


MOVE = (
    "UPDATE inbox_position p SET epoch = g.epoch, number = g.number, next_offset = g.next_offset"
    " FROM unnest(CAST(:move_topics AS text[]), CAST(:move_partitions AS integer[]),"
    "  CAST(:known_epochs AS integer[]), CAST(:known_numbers AS bigint[]),"
    "  CAST(:epochs AS integer[]), CAST(:numbers AS bigint[]), CAST(:offsets AS bigint[]))"
    "  AS g (topic, partition, known_epoch, known_number, epoch, number, next_offset)"
    " WHERE p.topic = g.topic AND p.partition = g.partition"
    "  AND p.epoch = g.known_epoch AND p.number = g.known_number"
    " RETURNING p.topic"
)
"""Move partitions on from the numbers that are known; another owner may have moved them."""
ADMIT = Direct(
    f"WITH moved AS ({MOVE}), given AS (SELECT * FROM unnest("
    "  CAST(:ids AS uuid[]), CAST(:topics AS text[]), CAST(:keys AS text[]),"
    "  CAST(:numbered AS boolean[])) AS g (id, topic, key, numbered)),"
    " behind AS (SELECT id FROM given g WHERE EXISTS"
    "  (SELECT FROM dead_letter d WHERE d.topic = g.topic AND d.key = g.key)),"
    " remembered AS (INSERT INTO inbox (event_id)"
    "  SELECT id FROM given WHERE NOT numbered AND id NOT IN (SELECT id FROM behind)"
    "  ON CONFLICT DO NOTHING RETURNING event_id)"
    " SELECT 'new' AS what, event_id AS id, 0 AS number FROM remembered"
    " UNION ALL SELECT 'known', event_id, 0 FROM inbox"
    "  WHERE event_id IN (SELECT id FROM given WHERE numbered)"
    " UNION ALL SELECT 'behind', id, 0 FROM behind"
    " UNION ALL SELECT 'group', id, 0 FROM inbox_group"
    " UNION ALL SELECT 'moved', NULL, count(*) FROM moved",
    AdmittedRow,
)
"""In one round trip: partitions move on; the ids of events without a number that are new (and
remembered now); those that wait behind a dead letter; and the group's name."""
MOVE_ALONE = Direct(f"WITH moved AS ({MOVE}) SELECT count(*) AS number FROM moved", Counted)
POSITIONS = text(
    "SELECT topic, partition, epoch, number, next_offset FROM inbox_position"
    " WHERE topic = ANY(CAST(:topics AS text[]))"
)
HAS_IDS = text("SELECT EXISTS (SELECT FROM inbox)")
BEGIN_POSITION = text(
    "INSERT INTO inbox_position (topic, partition, epoch, number, next_offset)"
    " VALUES (:topic, :partition, :epoch, :number, :next_offset) ON CONFLICT DO NOTHING"
)
PARK = text(
    "INSERT INTO dead_letter (event_id, topic, key, type, payload, event_number, error)"
    " VALUES (:event_id, :topic, :key, :type, :payload, :event_number, :error)"
    " ON CONFLICT (event_id) DO NOTHING"
)


class DueLetter(NamedTuple):
    """The next dead letter to be tried again."""

    position: int
    event_id: UUID
    payload: bytes
    event_number: int
    attempts: int


NEXT_DUE = text(
    "SELECT position, event_id, payload, event_number, attempts FROM dead_letter d"
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
WAIT_FOR_CODE = text(
    "UPDATE dead_letter SET next_attempt_at = clock_timestamp() + make_interval(secs => :pause)"
    " WHERE position = :position"
)
VERSION_PAUSE = 15.0
"""Seconds between two looks whether this code knows the version of a waiting event by now."""
SAVE_EVERY = 5.0
"""Seconds after which positions are stored that only passed events of no concern here."""
ASSIGN_SECONDS = 4.0
"""How long a database that is away may hold up the assignment of partitions.

Kafka waits six seconds for a member before it gives its partitions to others.
"""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Item:
    """A record with its envelope read. With a `refusal` it is set aside and not handled."""

    record: Record
    envelope: Envelope
    refusal: str | None = None

    @property
    def is_numbered(self) -> bool:
        """Whether it is to be handled and known by its number.

        An event of a release before 0.2 got a number later, or none; it is known by its id.
        """
        return self.refusal is None and self.record.event_number > 0


class End(NamedTuple):
    """How far a partition is taken: the newest number, and the offset of what comes next."""

    number: FactNumber
    next_offset: int


@dataclass(slots=True)
class Progress:
    """One partition, as this process knows it."""

    stored: FactNumber
    """What the database has."""
    taken: End
    """Ahead of `stored` where the events since then are of no concern to this service."""


Ends = dict[Place, End]


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
    """The database was replaced, or restored to an earlier moment, since the subscription began.

    What was read for it does not count.
    """


class MovedError(Exception):
    """A partition stands at another number than this process knows: another owner moved it on."""


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
        rebuildable: the service's database is a read model that may be dropped and filled again.
    """

    def __init__(self, service: str, *, period: float = 0.0, rebuildable: bool = False) -> None:
        self.service = service
        self.rebuildable = rebuildable
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

    def is_other_version(self, event_type: str) -> bool:
        """Whether the service listens to this type, but not in this version."""
        stem, dot, _ = event_type.rpartition(".v")
        if not dot or self.listens_to(event_type):
            return False
        return any(known.rpartition(".v")[0] == stem for known in self._types())

    def _types(self) -> set[str]:
        types = {*self._handlers, *self._batch_handlers}
        for kept, _ in self._envelope_handlers:
            types |= kept
        return types

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
        self._progress: dict[Place, Progress] = {}
        self._reread_at: dict[Place, int] = {}
        self._to_reread: set[Place] = set()
        self._assigned = True
        self._missing: set[Place] = set()
        self._saved_at = 0.0

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
        self._assigned = True
        name = f"{self._consumer.service}.{self._group}"
        async with self._bus.subscription(
            name, self._consumer.topics, positions=self._assign
        ) as subscription:
            while True:
                records = await subscription.poll(self._batch, timeout=1.0)
                if not self._assigned:
                    raise OtherDatabaseError
                if not records:
                    await self._notice_other_database()
                    continue
                begun = time.monotonic()
                await self.take(records)
                await subscription.acknowledge(records)
                await self._reread(subscription)
                if len(records) < self._batch:
                    await asyncio.sleep(max(0.0, begun + self._consumer.period - time.monotonic()))

    async def _assign(self, left: Mapping[Place, int]) -> Mapping[Place, int]:
        """The offsets at which this database goes on."""
        self._progress.clear()
        self._reread_at.clear()
        self._to_reread.clear()
        deadline = time.monotonic() + ASSIGN_SECONDS
        while True:
            try:
                await self._know(left)
                break
            except Exception as error:
                if not is_database_trouble(error) or time.monotonic() > deadline:
                    # The bus logs this error and reads on from where the group left.
                    self._assigned = False
                    raise
                await asyncio.sleep(DATABASE_PAUSE)
        return {place: self._progress[place].taken.next_offset for place in left}

    async def _know(self, left: Mapping[Place, int]) -> None:
        """Read the positions of places that this process does not know yet.

        A database that a release before 0.2 filled has no positions, but ids. All that stands
        before where its group left a partition was taken then; none of it carried a number.
        """
        missing = set(left) - set(self._progress)
        if not missing:
            return
        async with self._database.transaction() as session:
            was_upgraded = await session.scalar(HAS_IDS)
            for place in sorted(missing):
                taken = left[place] if was_upgraded else 0
                begin = {**place._asdict(), "epoch": 0, "number": taken, "next_offset": taken}
                _ = await session.execute(BEGIN_POSITION, begin)
            for place, end in (await _read_positions(session, missing)).items():
                self._progress[place] = Progress(end.number, end)

    async def _notice_other_database(self) -> None:
        """An idle worker meets another database here; a busy one in the transaction of a batch."""
        with contextlib.suppress(DBAPIError, OSError, asyncpg.PostgresError):
            async with self._database.reading() as session:
                if self._group is not None and await session.scalar(GROUP) != self._group:
                    raise OtherDatabaseError
                await self._check_positions(session, list(self._progress))
            await self._save()

    async def _check_positions(self, session: AsyncSession, places: Collection[Place]) -> None:
        """Follow what other owners have moved on.

        Raises:
            OtherDatabaseError: the database stands at an earlier number than before.
        """
        found = await _read_positions(session, places)
        for place in places:
            progress, end = self._progress.get(place), found.get(place)
            if progress is None:
                continue  # Given to another member in the meantime.
            if end is None or end.number < progress.stored:
                raise OtherDatabaseError
            if end.number > progress.stored:
                self._progress[place] = Progress(end.number, end)

    async def _save(self) -> None:
        """Store positions that passed events of no concern here."""
        ends: Ends = {}
        for place, progress in self._progress.items():
            if progress.taken.number != progress.stored:
                ends[place] = progress.taken
        self._saved_at = time.monotonic()
        if ends:
            async with self._database.transaction() as session:
                moved = await MOVE_ALONE.first(session, **self._moves(ends))
                if moved is None or moved.number != len(ends):
                    raise OtherDatabaseError
            self._set_stored(ends)

    async def take(self, records: Sequence[Record]) -> None:
        """Give every record its one effect (or park it); returns when all of it is committed."""
        places = {record.place: 0 for record in records}
        while True:
            try:
                await self._know(places)
                await self._take_next(records)
                return
            except MovedError:
                async with self._database.reading() as session:
                    await self._check_positions(session, list(self._progress))
            except OtherDatabaseError:
                raise
            except Exception as error:
                if not is_database_trouble(error):
                    raise
                log.warning("inbox.database_waiting", error=type(error).__name__)
                await asyncio.sleep(DATABASE_PAUSE)

    async def _take_next(self, records: Sequence[Record]) -> None:
        following, ends = self._following(records)
        items: list[Item] = []
        for record in following:
            item = self._item(record)
            if item is not None:
                items.append(item)
        if items:
            await self._take_items(items, ends)
        for place, end in ends.items():
            self._progress[place].taken = end
        if time.monotonic() - self._saved_at > SAVE_EVERY:
            await self._save()

    def _following(self, records: Sequence[Record]) -> tuple[list[Record], Ends]:
        """The records that come next in their partitions, and how far these then are."""
        following: list[Record] = []
        ends: Ends = {}
        for record in records:
            place = record.place
            reached = ends.get(place, self._progress[place].taken)
            if self._is_next(record, reached):
                following.append(record)
                ends[place] = _end_after(record, reached.number)
        return following, ends

    def _is_next(self, record: Record, reached: End) -> bool:
        """Whether the record was not taken and follows what was."""
        place = record.place
        if record.number is not None:
            if record.number <= reached.number:
                return False
            if not _follows(record, reached.number):
                self._note_gap(place, reached, found=record.number)
                return False
        if place in self._reread_at:
            del self._reread_at[place]
            self._missing.discard(place)
            metrics.MISSING_FACTS.labels(self._consumer.service, *map(str, place)).set(0)
        return True

    def _note_gap(self, place: Place, reached: End, *, found: FactNumber) -> None:
        """Facts between two numbers did not come: read again from where they should be.

        First from the stored offset, then from the beginning of the partition, for a topic that was
        filled again. When they are nowhere, later facts must not have their effect before them:
        the partition waits until the producer has published them again.
        """
        if place in self._to_reread:
            return  # Seen a moment ago, in this batch.
        tried = self._reread_at.get(place)
        if tried is None:
            self._reread_at[place] = reached.next_offset
            self._to_reread.add(place)
        elif tried > 0:
            self._reread_at[place] = 0
            self._to_reread.add(place)
        elif place not in self._missing:
            self._missing.add(place)
            metrics.MISSING_FACTS.labels(self._consumer.service, *map(str, place)).set(1)
            log.error(
                "inbox.facts_missing",
                topic=place.topic,
                partition=place.partition,
                after=reached.number.number,
                next=found.number,
            )

    async def _reread(self, subscription: Subscription) -> None:
        while self._to_reread:
            place = self._to_reread.pop()
            await subscription.rewind(place, self._reread_at[place])

    def _item(self, record: Record) -> Item | None:
        """The record as something to handle or to set aside; None when it is of no concern here."""
        try:
            envelope = parse_envelope(record.value)
        except ValueError as error:
            return Item(record, _unreadable(record), describe(error))
        if record.event_number:
            envelope = envelope._replace(event_number=record.event_number)
        if self._consumer.listens_to(envelope.type):
            return Item(record, envelope)
        if self._consumer.is_other_version(envelope.type):
            return Item(record, envelope, OTHER_VERSION)
        metrics.IGNORED.labels(self._consumer.service, envelope.type).inc()
        return None

    async def _take_items(self, items: Sequence[Item], ends: Ends) -> None:
        # With one that is set aside, each alone: later events of its key have to wait behind it.
        if all(item.refusal is None for item in items):
            try:
                await self._take_batch(items, ends)
                return
            except (MovedError, OtherDatabaseError):
                raise
            except Exception as error:
                if is_database_trouble(error):
                    raise
                if len(items) > 1:
                    log.info("inbox.batch_failed", events=len(items), error=type(error).__name__)
        await self._take_each(items)

    async def _take_each(self, items: Sequence[Item]) -> None:
        for item in items:
            record = item.record
            reached = self._progress[record.place].stored
            if record.number is not None and record.number <= reached:
                raise MovedError  # Another owner took it while others of this batch were taken.
            await self._take_alone(item, {record.place: _end_after(record, reached)})

    async def _take_alone(self, item: Item, ends: Ends) -> None:
        try:
            await self._take_batch([item], ends)
        except (MovedError, OtherDatabaseError):
            raise
        except Exception as error:
            if is_database_trouble(error):
                raise
            await self._park(item, ends, error=error)

    async def _take_batch(self, items: Sequence[Item], ends: Ends) -> None:
        async with self._database.transaction() as session:
            new, behind = await self._admit(session, items, ends=ends)
            await self._consumer.handle(session, _once(items, new))
            waiting = [item for item in items if item.envelope.id in behind]
            for item in await self._not_handled(session, waiting):
                _ = await session.execute(
                    PARK, _letter(item, "waits behind an earlier event of its key")
                )
            for item in items:
                if item.refusal is not None and item.envelope.id not in behind:
                    _ = await session.execute(PARK, _letter(item, item.refusal))
                    self._tell_parked(item, item.refusal)
        self._set_stored(ends)
        metrics.CONSUMED.labels(self._consumer.service).inc(len(items))

    def _set_stored(self, ends: Ends) -> None:
        for place, end in ends.items():
            self._progress[place] = Progress(end.number, end)

    def _moves(self, ends: Ends) -> dict[str, list[str] | list[int]]:
        """The parameters of `MOVE`."""
        known = [self._progress[place].stored for place in ends]
        return {
            "move_topics": [place.topic for place in ends],
            "move_partitions": [place.partition for place in ends],
            "known_epochs": [number.epoch for number in known],
            "known_numbers": [number.number for number in known],
            "epochs": [end.number.epoch for end in ends.values()],
            "numbers": [end.number.number for end in ends.values()],
            "offsets": [end.next_offset for end in ends.values()],
        }

    async def _admit(
        self, session: AsyncSession, items: Sequence[Item], *, ends: Ends
    ) -> tuple[set[UUID], set[UUID]]:
        """The ids that are new here, and those that wait behind a dead letter of their key."""
        rows = await ADMIT.fetch(session, **_known_by(items), **self._moves(ends))
        found: dict[str, set[UUID]] = {
            "new": set(),
            "known": set(),
            "behind": set(),
            "group": set(),
        }
        moved = 0
        for row in rows:
            if row.id is None:
                moved = row.number
            else:
                found[row.what].add(row.id)
        if self._group is not None and self._group not in found["group"]:
            raise OtherDatabaseError
        if moved != len(ends):
            raise MovedError
        # The position has moved on past a numbered one, so it was not taken before.
        numbered = {item.envelope.id for item in items if item.is_numbered}
        # Unless a worker of a release before 0.2 took it, which knew events by their ids.
        new = found["new"] | (numbered - found["known"])
        return new - found["behind"], found["behind"]

    async def _not_handled(self, session: AsyncSession, items: Sequence[Item]) -> Sequence[Item]:
        """The items without an effect yet: an event must not be parked after it was handled."""
        unnumbered = [item for item in items if not item.is_numbered]
        if not unnumbered:
            return items
        known = await session.execute(
            text("SELECT event_id FROM inbox WHERE event_id = ANY(CAST(:ids AS uuid[]))"),
            {"ids": [item.envelope.id for item in unnumbered]},
        )
        handled = set(known.scalars())
        return [item for item in items if item.envelope.id not in handled]

    async def _park(self, item: Item, ends: Ends, *, error: BaseException) -> None:
        self._tell_parked(item, describe(error))
        async with self._database.transaction() as session:
            moved = await MOVE_ALONE.first(session, **self._moves(ends))
            if moved is None or moved.number != len(ends):
                raise MovedError
            _ = await session.execute(PARK, _letter(item, describe(error)))
        self._set_stored(ends)

    def _tell_parked(self, item: Item, error: str) -> None:
        log.warning(
            "inbox.parked",
            event_id=str(item.envelope.id),
            type=item.envelope.type,
            error=error,
        )
        metrics.PARKED.labels(self._consumer.service).inc()

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
            if self._waits_for_code(letter):
                wait = {"position": letter.position, "pause": VERSION_PAUSE}
                _ = await session.execute(WAIT_FOR_CODE, wait)
                return True
            try:
                async with session.begin_nested():
                    remembered = await session.execute(REMEMBER, {"ids": [letter.event_id]})
                    if remembered.scalars().all():
                        await self._consumer.handle(session, [_envelope_of(letter)])
                _ = await session.execute(FORGET, {"position": letter.position})
            except Exception as error:
                if is_database_trouble(error):
                    raise
                postponed = self._postponed(letter.position, attempts=letter.attempts, error=error)
                _ = await session.execute(POSTPONE, postponed)
        return True

    def _waits_for_code(self, letter: DueLetter) -> bool:
        try:
            envelope = parse_envelope(letter.payload)
        except ValueError:
            return False
        return self._consumer.is_other_version(envelope.type)

    def _postponed(
        self, position: int, *, attempts: int, error: BaseException
    ) -> dict[str, object]:
        gave_up = attempts >= len(self._pauses)
        pause = 0.0
        if self._pauses:
            pause = self._pauses[min(attempts, len(self._pauses) - 1)]
        return {"position": position, "error": describe(error), "gave_up": gave_up, "pause": pause}


def _envelope_of(letter: DueLetter) -> Envelope:
    envelope = parse_envelope(letter.payload)
    if letter.event_number:
        return envelope._replace(event_number=letter.event_number)
    return envelope


def _end_after(record: Record, reached: FactNumber) -> End:
    """How far a partition is with this record.

    Records without a number are known by their ids, in whatever order they come. Only the next one
    counts; after numbers have begun, none does.
    """
    number = number_of(record)
    if record.number is None and number != reached.next:
        number = reached
    return End(number, record.offset + 1)


def _follows(record: Record, reached: FactNumber) -> bool:
    """Whether the record is the next after `reached`."""
    assert record.number is not None
    begins_epoch = record.number.number == 1 and record.number.epoch > reached.epoch
    return begins_epoch or record.number == reached.next


async def _read_positions(session: AsyncSession, places: Collection[Place]) -> Ends:
    topics = sorted({place.topic for place in places})
    ends: Ends = {}
    for topic, partition, epoch, number, offset in await session.execute(
        POSITIONS, {"topics": topics}
    ):
        ends[Place(topic, partition)] = End(FactNumber(epoch, number), offset)
    return {place: ends[place] for place in places if place in ends}


def _known_by(items: Sequence[Item]) -> dict[str, list[UUID] | list[str] | list[bool]]:
    """The parameters of `ADMIT` that tell of events."""
    return {
        "ids": [item.envelope.id for item in items],
        "topics": [item.record.topic for item in items],
        "keys": [item.envelope.key for item in items],
        # What is set aside is not remembered as handled.
        "numbered": [item.is_numbered or item.refusal is not None for item in items],
    }


def _once(items: Sequence[Item], new: set[UUID]) -> list[Envelope]:
    """The envelopes of `new` ids in order, each once even when a batch holds it twice."""
    first: dict[UUID, Envelope] = {}
    for item in items:
        if item.envelope.id in new:
            _ = first.setdefault(item.envelope.id, item.envelope)
    return list(first.values())


def _unreadable(record: Record) -> Envelope:
    """A record that is no CloudEvent of ours: its id is made of its place in the topic."""
    return Envelope(unreadable_id(record), "unreadable", record.key, 0, None, "", "", "system", {})


def _letter(item: Item, error: str) -> dict[str, object]:
    return {
        "event_id": item.envelope.id,
        "topic": item.record.topic,
        "key": item.envelope.key,
        "type": item.envelope.type,
        "payload": item.record.value,
        "event_number": item.record.event_number,
        "error": error,
    }
