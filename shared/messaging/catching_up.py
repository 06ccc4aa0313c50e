"""Facts of a type that a service did not listen to when they came are given to it later.

The database notes for each partition which types were listened to, and from which number on
(`shared.database.tables.InboxTypeRow`). What was passed over is read from the topic again and set
aside before all other events of its keys, in its order (`shared.messaging.parking`). So it has its
effect once, before later events of its key, and other keys go on meanwhile (docs/adr/0020).
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database.session import Database, is_database_trouble
from shared.events.base import parse_envelope
from shared.messaging.bus import Bus, FactNumber, Place, Record, number_of
from shared.messaging.consumer import Consumer

BATCH = 500
MOST_WAITING = 5000
"""Facts that wait at once; the rest stays in the topic until there is room."""
LOOK_EVERY = 5.0
LOCK = 0x67697665  # "give": one process per database
EARLIEST = -(2**62)
"""Before the position of every letter that was parked when it came."""
GIVEN = "was not listened to when it came"

REQUEST = text(
    "INSERT INTO give_again (topic, partition, type, since)"
    " SELECT topic, partition, type, :since FROM inbox_type"
    " WHERE topic = :topic AND type = :type AND until_number IS NULL"
    " ON CONFLICT (topic, partition, type) DO UPDATE"
    " SET since = least(give_again.since, excluded.since), next_offset = 0"
    " RETURNING partition"
)
LEAD = text("SELECT pg_try_advisory_xact_lock(:lock)")
NEXT = text(
    "SELECT topic, partition, type, since, next_offset, given FROM give_again"
    " ORDER BY topic, partition, type LIMIT 1"
)
WAITING = text(
    "SELECT count(*) FROM (SELECT FROM dead_letter WHERE position < 0 LIMIT :most) waiting"
)
TAKEN = text(
    "SELECT after_epoch, after_number, until_epoch, until_number FROM inbox_type"
    " WHERE topic = :topic AND partition = :partition AND type = :type"
)
PARK_EARLIER = text(
    "WITH given AS (SELECT *, row_number() OVER (PARTITION BY key ORDER BY place) AS of_key"
    "  FROM unnest(CAST(:ids AS uuid[]), CAST(:keys AS text[]), CAST(:payloads AS bytea[]),"
    "   CAST(:event_numbers AS bigint[])) WITH ORDINALITY"
    "   AS g (id, key, payload, event_number, place)"
    "  WHERE NOT EXISTS (SELECT FROM inbox i WHERE i.event_id = g.id)),"
    " later AS (UPDATE dead_letter d SET next_attempt_at = 'infinity' FROM given g"
    "  WHERE d.topic = :topic AND d.key = g.key AND d.position > 0)"
    " INSERT INTO dead_letter (position, event_id, topic, key, type, payload, event_number, error,"
    "  next_attempt_at) OVERRIDING SYSTEM VALUE"
    " SELECT coalesce((SELECT max(position) FROM dead_letter WHERE position < 0), :earliest)"
    "  + place, id, :topic, key, :type, payload, event_number, :error,"
    "  CASE WHEN of_key = 1 AND NOT EXISTS (SELECT FROM dead_letter d"
    "   WHERE d.topic = :topic AND d.key = g.key AND d.position < 0)"
    "  THEN now() ELSE 'infinity' END"
    " FROM given g ON CONFLICT (event_id) DO NOTHING"
)
ADVANCE = text(
    "UPDATE give_again SET next_offset = :next_offset, given = given + :found"
    " WHERE topic = :topic AND partition = :partition AND type = :type"
)
FINISH = text(
    "DELETE FROM give_again WHERE topic = :topic AND partition = :partition AND type = :type"
)

log = structlog.get_logger(__name__)


class Asked(NamedTuple):
    """A row of `give_again`."""

    topic: str
    partition: int
    type: str
    since: datetime
    next_offset: int
    given: int


class Taken(NamedTuple):
    """Facts after one number and up to another were taken when they came; without end: all."""

    after: FactNumber
    until: FactNumber | None


async def request(database: Database, event_type: str, *, topic: str, since: datetime) -> int:
    """Ask for the facts of this type that were recorded since then; the number of partitions.

    0: no worker that listens to the type has run yet.
    """
    async with database.transaction() as session:
        asked = {"topic": topic, "type": event_type, "since": since}
        return len((await session.execute(REQUEST, asked)).all())


class CatchingUp:
    """Gives a service what it passed over and is asked for in `give_again`."""

    def __init__(self, database: Database, bus: Bus, *, consumer: Consumer) -> None:
        self._database = database
        self._bus = bus
        self._consumer = consumer

    async def run(self) -> None:
        """Work until cancelled. Any number of replicas may do so; one works at a time."""
        while True:
            try:
                while await self.give_some():
                    pass
            except Exception as error:
                # Whatever the bus or the database raised: nothing of the batch is stored.
                if is_database_trouble(error):
                    log.warning("catching_up.waiting", error=type(error).__name__)
                else:
                    log.exception("catching_up.failed")
            await asyncio.sleep(LOOK_EVERY)

    async def give_some(self) -> bool:
        """Park the next facts that were asked for; False when there is nothing to do now."""
        async with self._database.transaction() as session:
            if not await session.scalar(LEAD, {"lock": LOCK}):
                return False
            row = (await session.execute(NEXT)).one_or_none()
            if row is None:
                return False
            asked = Asked(*row)
            if not self._consumer.listens_to(asked.type):
                return False  # Older code, which knows no handler of it.
            if await session.scalar(WAITING, {"most": MOST_WAITING}) == MOST_WAITING:
                return False
            await self._give(session, asked)
        return True

    async def _give(self, session: AsyncSession, asked: Asked) -> None:
        place = Place(asked.topic, asked.partition)
        of_type: dict[str, object] = {**place._asdict(), "type": asked.type}
        async with self._bus.reader() as reader:
            records = await reader.read(place, asked.next_offset, limit=BATCH)
        if not records:
            _ = await session.execute(FINISH, of_type)
            log.info("catching_up.done", **of_type, given=asked.given)
            return
        taken = await _taken(session, of_type)
        passed = _passed_over(records, asked, taken=taken)
        if passed:
            _ = await session.execute(PARK_EARLIER, _letters(passed, asked))
        advance = {**of_type, "next_offset": records[-1].offset + 1, "found": len(passed)}
        _ = await session.execute(ADVANCE, advance)


async def _taken(session: AsyncSession, of_type: dict[str, object]) -> list[Taken]:
    taken: list[Taken] = []
    for after_epoch, after, until_epoch, until in await session.execute(TAKEN, of_type):
        end = None
        if until is not None:
            end = FactNumber(until_epoch, until)
        taken.append(Taken(FactNumber(after_epoch, after), end))
    return taken


def _passed_over(
    records: Sequence[Record], asked: Asked, *, taken: Sequence[Taken]
) -> dict[UUID, Record]:
    """The records that are asked for and were not taken when they came, by the ids of events."""
    passed: dict[UUID, Record] = {}
    for record in records:
        if _was_taken(number_of(record), taken):
            continue
        try:
            envelope = parse_envelope(record.value)
            is_late_enough = datetime.fromisoformat(envelope.recorded) >= asked.since
        except ValueError:
            continue  # It was set aside when it came, whatever it is.
        if envelope.type == asked.type and is_late_enough:
            _ = passed.setdefault(envelope.id, record)
    return passed


def _was_taken(number: FactNumber, taken: Sequence[Taken]) -> bool:
    for after, until in taken:
        if number > after and (until is None or number <= until):
            return True
    return False


def _letters(passed: dict[UUID, Record], asked: Asked) -> dict[str, object]:
    """The parameters of `PARK_EARLIER`."""
    return {
        "ids": list(passed),
        "keys": [record.key for record in passed.values()],
        "payloads": [record.value for record in passed.values()],
        "event_numbers": [record.event_number for record in passed.values()],
        "topic": asked.topic,
        "type": asked.type,
        "error": GIVEN,
        "earliest": EARLIEST,
    }
