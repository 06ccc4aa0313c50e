"""Inbox: each event has its effect once; events that fail are set aside in order, others go on.

Which record comes next, and how far a partition is taken, is told by the positions in the database
(`shared.messaging.positions`). A polled batch is one transaction: the effects of its events, and
the new positions. When it fails, each of its events gets its own, and the one that fails becomes a
dead letter, together with the later events of its key (`shared.messaging.parking`).

The name of the consumer group belongs to the database (`shared.database.tables.InboxGroup`): a new
database is filled from the beginning of every topic, even under a running worker.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple
from uuid import UUID

import asyncpg
import structlog
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from shared import metrics
from shared.database.direct import Direct
from shared.database.session import Database, is_database_trouble
from shared.events.base import Envelope
from shared.messaging.bus import Bus, Place, Record, Subscription
from shared.messaging.consumer import Consumer
from shared.messaging.parking import PAUSES, Item, Parking, describe
from shared.messaging.positions import (
    MOVE,
    MOVE_ALONE,
    Ends,
    KnownPositions,
    MovedError,
    OtherDatabaseError,
    end_after,
)

BATCH = 1000
DATABASE_PAUSE = 0.5
SAVE_EVERY = 5.0
"""Seconds after which positions are stored that only passed events of no concern here."""
ASSIGN_SECONDS = 4.0
"""How long a database that is away may hold up the assignment of partitions.

Kafka waits six seconds for a member before it gives its partitions to others.
"""


class AdmittedRow(NamedTuple):
    """What is known of an event's id; or, without one, how many partitions moved on.

    `refused`: the database must not be used (`RelayState.refused`).
    """

    what: Literal["new", "known", "behind", "group", "moved", "refused"]
    id: UUID | None
    number: int


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
    " UNION ALL SELECT 'refused', NULL, 0 FROM relay_state WHERE refused IS NOT NULL"
    " UNION ALL SELECT 'moved', NULL, count(*) FROM moved",
    AdmittedRow,
)
"""In one round trip: partitions move on; the ids of events without a number that are new (and
remembered now); those that wait behind a dead letter; the group's name; and whether the database
is refused."""
GROUP = text("SELECT id FROM inbox_group")

log = structlog.get_logger(__name__)


class DatabaseRefusedError(Exception):
    """The database was restored to an earlier moment: nothing may have an effect in it."""


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
        self._batch = batch
        self._parking = Parking(database, consumer, pauses=pauses)
        self._positions = KnownPositions(database, service=consumer.service, types=consumer.types)
        self._assigned = True
        self._saved_at = 0.0
        self._handling = False
        self._ending = False

    async def finish(self) -> None:
        """Take no further batch; returns when the one in hand is committed and acknowledged.

        Whoever calls this cancels `run` then, which leaves the group.
        """
        self._ending = True
        while self._handling:  # noqa: ASYNC110 - an event would cost every batch
            await asyncio.sleep(0.02)

    async def run(self) -> None:
        """Consume until cancelled; a lost bus is waited for."""
        if not self._consumer.topics:
            return
        while not self._ending:
            try:
                await self._subscribe()
            except OtherDatabaseError:
                log.warning("inbox.other_database")
            except DatabaseRefusedError:
                log.warning("inbox.database_refused")
            except Exception as error:
                # Whatever the bus or the database raised: what is not acknowledged comes again.
                if is_database_trouble(error):
                    log.warning("inbox.waiting", error=type(error).__name__)
                else:
                    log.exception("inbox.failed")
            await asyncio.sleep(DATABASE_PAUSE)

    async def run_retries(self) -> None:
        """Try due dead letters again until cancelled."""
        await self._parking.run_retries()

    async def retry_one(self) -> bool:
        """Try one due dead letter; False when none is due."""
        return await self._parking.retry_one()

    async def _subscribe(self) -> None:
        async with self._database.reading() as session:
            self._group = await session.scalar(GROUP)
        self._assigned = True
        name = f"{self._consumer.service}.{self._group}"
        async with self._bus.subscription(
            name, self._consumer.topics, positions=self._assign
        ) as subscription:
            while not self._ending:
                records = await subscription.poll(self._batch, timeout=1.0)
                if not self._assigned:
                    raise OtherDatabaseError
                if not records:
                    await self._notice_other_database()
                    continue
                begun = time.monotonic()
                await self._take_and_acknowledge(records, subscription)
                if len(records) < self._batch:
                    await asyncio.sleep(max(0.0, begun + self._consumer.period - time.monotonic()))

    async def _take_and_acknowledge(
        self, records: Sequence[Record], subscription: Subscription
    ) -> None:
        self._handling = True
        try:
            await self.take(records)
            await subscription.acknowledge(records)
            await self._positions.reread(subscription)
        finally:
            self._handling = False

    async def _assign(self, left: Mapping[Place, int]) -> Mapping[Place, int]:
        """The offsets at which this database goes on."""
        self._positions.forget()
        deadline = time.monotonic() + ASSIGN_SECONDS
        while True:
            try:
                await self._positions.know(left)
                break
            except Exception as error:
                if not is_database_trouble(error) or time.monotonic() > deadline:
                    # The bus logs this error and reads on from where the group left.
                    self._assigned = False
                    raise
                await asyncio.sleep(DATABASE_PAUSE)
        return {place: self._positions.next_offset(place) for place in left}

    async def _notice_other_database(self) -> None:
        """An idle worker meets another database here; a busy one in the transaction of a batch."""
        with contextlib.suppress(DBAPIError, OSError, asyncpg.PostgresError):
            async with self._database.reading() as session:
                if self._group is not None and await session.scalar(GROUP) != self._group:
                    raise OtherDatabaseError
                await self._positions.check(session)
            await self._save()

    async def _save(self) -> None:
        self._saved_at = time.monotonic()
        await self._positions.save()

    async def take(self, records: Sequence[Record]) -> None:
        """Give every record its one effect (or park it); returns when all of it is committed."""
        places = {record.place: 0 for record in records}
        while True:
            try:
                await self._positions.know(places)
                await self._take_next(records)
                return
            except MovedError:
                async with self._database.reading() as session:
                    await self._positions.check(session)
            except OtherDatabaseError:
                raise
            except Exception as error:
                if not is_database_trouble(error):
                    raise
                log.warning("inbox.database_waiting", error=type(error).__name__)
                await asyncio.sleep(DATABASE_PAUSE)

    async def _take_next(self, records: Sequence[Record]) -> None:
        following, ends = self._positions.following(records)
        items: list[Item] = []
        for record in following:
            item = self._parking.item(record)
            if item is not None:
                items.append(item)
        if items:
            await self._take_items(items, ends)
        self._positions.note_taken(ends)
        if time.monotonic() - self._saved_at > SAVE_EVERY:
            await self._save()

    async def _take_items(self, items: Sequence[Item], ends: Ends) -> None:
        # With one that is set aside, each alone: later events of its key have to wait behind it.
        if all(item.refusal is None for item in items):
            try:
                await self._take_batch(items, ends)
                return
            except (MovedError, OtherDatabaseError, DatabaseRefusedError):
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
            reached = self._positions.stored(record.place)
            if record.number is not None and record.number <= reached:
                raise MovedError  # Another owner took it while others of this batch were taken.
            await self._take_alone(item, {record.place: end_after(record, reached)})

    async def _take_alone(self, item: Item, ends: Ends) -> None:
        try:
            await self._take_batch([item], ends)
        except (MovedError, OtherDatabaseError, DatabaseRefusedError):
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
            await self._parking.park_behind(session, waiting)
            for item in items:
                if item.refusal is not None and item.envelope.id not in behind:
                    await self._parking.park(session, item, error=item.refusal)
        self._positions.note_stored(ends)
        metrics.CONSUMED.labels(self._consumer.service).inc(len(items))

    async def _admit(
        self, session: AsyncSession, items: Sequence[Item], *, ends: Ends
    ) -> tuple[set[UUID], set[UUID]]:
        """The ids that are new here, and those that wait behind a dead letter of their key."""
        rows = await ADMIT.fetch(session, **_known_by(items), **self._positions.moves(ends))
        found: dict[str, set[UUID]] = {
            "new": set(),
            "known": set(),
            "behind": set(),
            "group": set(),
        }
        moved = 0
        for row in rows:
            if row.what == "refused":
                raise DatabaseRefusedError
            if row.id is None:
                moved = row.number
            else:
                found[row.what].add(row.id)
        if self._group is not None and self._group not in found["group"]:
            raise OtherDatabaseError
        if moved != len(ends):
            raise MovedError
        new = found["new"] | (_numbered(items) - found["known"])
        return new - found["behind"], found["behind"]

    async def _park(self, item: Item, ends: Ends, *, error: BaseException) -> None:
        async with self._database.transaction() as session:
            moved = await MOVE_ALONE.first(session, **self._positions.moves(ends))
            if moved is None or moved.number != len(ends):
                raise MovedError
            await self._parking.park(session, item, error=describe(error))
        self._positions.note_stored(ends)


def _numbered(items: Sequence[Item]) -> set[UUID]:
    """The ids of those that their numbers tell as new.

    The position has moved on past them, so they were not taken before, unless by a worker of a
    release before 0.2, which knew events by their ids.
    """
    return {item.envelope.id for item in items if item.is_numbered}


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
