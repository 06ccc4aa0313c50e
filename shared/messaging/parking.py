"""Events that are set aside: parked in order with their key, and tried again.

An event that fails becomes a dead letter in the consumer's database, and the later events of its
key wait behind it. Dead letters are tried again with a growing pause; after the last attempt a
person decides (`shared.messaging.dead_letters`). An event in a version that this code does not know
waits there too, until code comes that knows it.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared import logs, metrics
from shared.database.session import Database, is_database_trouble
from shared.errors import ProblemError, failed_fields
from shared.events.base import Envelope, parse_envelope
from shared.messaging.bus import Record, unreadable_id
from shared.messaging.consumer import Consumer
from shared.messaging.dead_letters import FREE_NEXT

PAUSES = (1.0, 5.0, 30.0, 120.0, 600.0)
"""Seconds before each further attempt of a dead letter; then it waits for a person."""
RETRY_POLL = 0.5
FREE_EVERY = 30.0
"""Seconds between two looks for events that wait and are the first of their key."""
VERSION_PAUSE = 15.0
"""Seconds between two looks whether this code knows the version of a waiting event by now."""
OTHER_VERSION = "this code does not know this version of the event"
BEHIND = "waits behind an earlier event of its key"

REMEMBER = text(
    "INSERT INTO inbox (event_id) SELECT unnest(CAST(:ids AS uuid[]))"
    " ON CONFLICT DO NOTHING RETURNING event_id"
)
# One behind another is not due before that is done: were it due at once, each look for the next one
# would pass over all that wait.
PARK = text(
    "INSERT INTO dead_letter (event_id, topic, key, type, payload, event_number, error,"
    " next_attempt_at) VALUES (:event_id, :topic, :key, :type, :payload, :event_number, :error,"
    " CASE WHEN :behind THEN 'infinity' ELSE now() END) ON CONFLICT (event_id) DO NOTHING"
)
NEXT_DUE = text(
    "SELECT position, event_id, payload, event_number, attempts FROM dead_letter d"
    # One probe for each that is due; as NOT EXISTS it could be a join that reads all letters.
    # `clock_timestamp()` is volatile, and no index serves a condition with it.
    " WHERE NOT gave_up AND next_attempt_at <= statement_timestamp() AND position = ("
    "  SELECT e.position FROM dead_letter e"
    "  WHERE e.topic = d.topic AND e.key = d.key ORDER BY e.position LIMIT 1)"
    " AND NOT EXISTS (SELECT FROM relay_state WHERE refused IS NOT NULL)"
    " ORDER BY next_attempt_at LIMIT 1 FOR UPDATE OF d SKIP LOCKED"
)
FORGET = text(
    "WITH gone AS (DELETE FROM dead_letter WHERE position = :position"
    f" RETURNING topic, key, position) {FREE_NEXT}"
)
FREE_FIRST = text(
    "UPDATE dead_letter d SET next_attempt_at = clock_timestamp()"
    " WHERE next_attempt_at = 'infinity' AND NOT EXISTS (SELECT FROM dead_letter e"
    "  WHERE e.topic = d.topic AND e.key = d.key AND e.position < d.position)"
)
"""An event can be parked in the moment in which the one before it is done; nobody frees it then."""
POSTPONE = text(
    "UPDATE dead_letter SET attempts = attempts + 1, error = :error, gave_up = :gave_up,"
    " next_attempt_at = clock_timestamp() + make_interval(secs => :pause)"
    " WHERE position = :position"
)
WAIT_FOR_CODE = text(
    "UPDATE dead_letter SET next_attempt_at = clock_timestamp() + make_interval(secs => :pause)"
    " WHERE position = :position"
)

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


class DueLetter(NamedTuple):
    """The next dead letter to be tried again."""

    position: int
    event_id: UUID
    payload: bytes
    event_number: int
    attempts: int


def describe(error: BaseException) -> str:
    """The class of an error and the fields that it is about; for our own, its text.

    Other texts can quote personal data.
    """
    name = type(error).__name__
    if isinstance(error, ProblemError):
        return f"{name}: {error}"
    fields = failed_fields(error)
    if fields:
        return f"{name}: {', '.join(fields)}"
    frames = logs.places(error.__traceback__)
    if not frames:
        return name
    return f"{name} at {frames[-1]}"


class Parking:
    """The dead letters of one database."""

    def __init__(self, database: Database, consumer: Consumer, *, pauses: Sequence[float]) -> None:
        self._database = database
        self._consumer = consumer
        self._pauses = pauses

    def item(self, record: Record) -> Item | None:
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

    async def park(self, session: AsyncSession, item: Item, *, error: str) -> None:
        """Set the item aside, as one that failed with this error."""
        log.warning(
            "inbox.parked",
            event_id=str(item.envelope.id),
            type=item.envelope.type,
            error=error,
        )
        metrics.PARKED.labels(self._consumer.service).inc()
        _ = await session.execute(PARK, {**_letter(item, error), "behind": False})

    async def park_behind(self, session: AsyncSession, items: Sequence[Item]) -> None:
        """Set the items aside behind earlier ones of their keys, those that have no effect yet."""
        for item in await self._not_handled(session, items):
            _ = await session.execute(PARK, {**_letter(item, BEHIND), "behind": True})

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

    async def run_retries(self) -> None:
        """Try due dead letters again, the first of each key, until cancelled.

        Any number of replicas may do so.
        """
        freed = 0.0
        while True:
            try:
                if time.monotonic() - freed > FREE_EVERY:
                    await self._free_first()
                    freed = time.monotonic()
                while await self.retry_one():
                    pass
            except Exception as error:
                if not is_database_trouble(error):
                    log.exception("inbox.retry_failed")
            await asyncio.sleep(RETRY_POLL)

    async def _free_first(self) -> None:
        async with self._database.transaction() as session:
            _ = await session.execute(FREE_FIRST)

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
