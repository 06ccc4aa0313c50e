"""The fact log: every fact that a service published, with its numbers.

A fact gets the next number of its topic and partition, the next number among the events of its key,
and the next sequence of the database, in the statement that moves it from the outbox into the log.
Only the leading relay writes here, so the newest numbers are kept in memory.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import asyncpg
import structlog
from sqlalchemy import text

from shared import clock
from shared.database.session import Database
from shared.events.base import parse_envelope
from shared.messaging.bus import (
    NO_FACT,
    Bus,
    FactNumber,
    Message,
    Place,
    Reader,
    Record,
    number_of,
    partition_of,
    unreadable_id,
)

NUMBER = """
WITH given AS (
    SELECT * FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::bigint[])
        AS g (position, partition, number, sequence)
), gone AS (
    DELETE FROM outbox o USING given g WHERE o.position = g.position
    RETURNING o.topic, o.key, o.event_id, o.payload, o.recorded_at, g.partition, g.number,
        g.sequence
), counted AS (
    INSERT INTO event_number AS e (topic, key, number)
    SELECT topic, key, count(*) FROM gone GROUP BY topic, key
    ON CONFLICT (topic, key) DO UPDATE SET number = e.number + excluded.number
    RETURNING topic, key, number
), placed AS (
    SELECT sequence, row_number() OVER (PARTITION BY topic, key ORDER BY sequence)
        - count(*) OVER (PARTITION BY topic, key) AS before_last
    FROM gone
), moved AS (
    UPDATE relay_position r SET number = m.number, epoch = (SELECT epoch FROM relay_state)
    FROM (SELECT topic, partition, max(number) AS number FROM gone GROUP BY topic, partition) m
    WHERE r.topic = m.topic AND r.partition = m.partition
), continued AS (
    UPDATE relay_state SET sequence = (SELECT max(sequence) FROM given)
), logged AS (
    INSERT INTO fact_log (sequence, topic, partition, epoch, number, event_id, key, event_number,
        payload, recorded_at)
    SELECT g.sequence, g.topic, g.partition, s.epoch, g.number, g.event_id, g.key,
        c.number + p.before_last, g.payload, g.recorded_at
    FROM gone g JOIN counted c USING (topic, key) JOIN placed p USING (sequence)
        CROSS JOIN relay_state s
    RETURNING sequence, event_number
)
SELECT event_number FROM logged ORDER BY sequence
"""

UNSENT = """
SELECT topic, key, payload, epoch, number, event_number FROM fact_log
WHERE topic = $1 AND partition = $2 AND (epoch, number) > ($3, $4)
ORDER BY epoch, number LIMIT $5
"""

LAST_BEFORE = """
SELECT epoch, number FROM fact_log WHERE topic = $1 AND partition = $2 AND epoch < $3
ORDER BY epoch DESC, number DESC LIMIT 1
"""

ADOPT = """
WITH given AS (
    SELECT * FROM unnest($3::integer[], $4::bigint[], $5::uuid[], $6::text[], $7::bigint[],
        $8::bigint[], $9::bytea[], $10::timestamptz[]) WITH ORDINALITY
        AS g (epoch, number, event_id, key, event_number, revision, payload, recorded_at, place)
), written AS (
    DELETE FROM outbox o USING given g WHERE o.event_id = g.event_id
), continued AS (
    UPDATE relay_state SET sequence = sequence + (SELECT count(*) FROM given)
    RETURNING sequence
), counted AS (
    INSERT INTO event_number AS e (topic, key, number)
    SELECT $1, key, max(revision) FROM given GROUP BY key
    ON CONFLICT (topic, key) DO UPDATE SET number = greatest(e.number, excluded.number)
)
INSERT INTO fact_log (sequence, topic, partition, epoch, number, event_id, key, event_number,
    payload, recorded_at)
SELECT c.sequence - (SELECT count(*) FROM given) + g.place, $1, $2, g.epoch, g.number, g.event_id,
    g.key, g.event_number, g.payload, g.recorded_at
FROM given g CROSS JOIN continued c
"""
"""Take facts of the topic into the log. What still waits for its publication is published."""
# Losing this note with a crash is harmless: the batch is sent again with the same numbers.
MARK_SENT = """
BEGIN;
SET LOCAL synchronous_commit = off;
UPDATE relay_position SET sent_epoch = epoch, sent = number
    WHERE (sent_epoch, sent) <> (epoch, number);
COMMIT
"""
SENT_UP_TO = (
    "UPDATE relay_position SET sent_epoch = $3, sent = $4 WHERE topic = $1 AND partition = $2"
)
POSITIONS = (
    "SELECT topic, partition, epoch, number, sent_epoch, sent FROM relay_position"
    " WHERE topic = ANY($1::text[]) ORDER BY topic, partition"
)
MOVE_TO = (
    "UPDATE relay_position SET epoch = $3, number = $4, sent_epoch = $3, sent = $4"
    " WHERE topic = $1 AND partition = $2"
)
ADD_POSITIONS = (
    "INSERT INTO relay_position (topic, partition, epoch, number, sent_epoch, sent)"
    " SELECT $1, partition, $3, 0, $3, 0 FROM generate_series(0, $2::integer - 1) AS partition"
    " ON CONFLICT DO NOTHING"
)
REFILL = """
UPDATE relay_position p SET sent_epoch = f.epoch, sent = f.number - 1
FROM relay_position q, LATERAL (
    SELECT epoch, number FROM fact_log
    WHERE topic = q.topic AND partition = q.partition AND recorded_at >= $1
    ORDER BY epoch, number LIMIT 1
) f
WHERE p.topic = q.topic AND p.partition = q.partition
"""
REQUEST_REFILL = text(
    "UPDATE relay_state SET refill_from ="
    " least(refill_from, coalesce(CAST(:since AS timestamptz), '-infinity'))"
)
REFUSE = "UPDATE relay_state SET refused = $1 WHERE refused IS DISTINCT FROM $1"
MONTH_EXISTS = "SELECT to_regclass($1) IS NOT NULL"

log = structlog.get_logger(__name__)


class RefusedError(Exception):
    """The database and its topic do not fit together; the text says how, and what to do."""


@dataclass(slots=True)
class Position:
    """How far one partition is numbered, and sent."""

    numbered: FactNumber
    sent: FactNumber


@dataclass(frozen=True, slots=True)
class _Placed:
    """The numbers that rows of the outbox get, in their order, and how far partitions then are."""

    partitions: list[int]
    numbers: list[FactNumber]
    reached: dict[Place, FactNumber]


class FactLog:
    """The log of one database, over a connection of the process that leads."""

    def __init__(self, connection: asyncpg.Connection, bus: Bus) -> None:
        self.positions: dict[Place, Position] = {}
        self._connection = connection
        self._bus = bus
        self._partitions: dict[str, int] = {}
        self._sequence = 0
        self._epoch = 0

    async def load(self, topics: Collection[str]) -> None:
        """Read how far these topics are numbered; new ones begin at the first number.

        Raises:
            RefusedError: a topic has not as many partitions as its facts are numbered in.
        """
        missing = sorted(set(topics) - set(self._partitions))
        if not missing:
            return
        await self._load_state()
        for topic in missing:
            partitions = await self._bus.partitions(topic)
            await self._begin_partitions(topic, partitions)
            for row in await self._connection.fetch(POSITIONS, [topic]):
                self.positions[Place(topic, row["partition"])] = Position(
                    numbered=FactNumber(row["epoch"], row["number"]),
                    sent=FactNumber(row["sent_epoch"], row["sent"]),
                )
            self._partitions[topic] = partitions

    async def _load_state(self) -> None:
        state = await self._connection.fetchrow("SELECT epoch, sequence FROM relay_state")
        assert state is not None
        self._epoch, self._sequence = state["epoch"], state["sequence"]

    async def _begin_partitions(self, topic: str, partitions: int) -> None:
        known = len(await self._connection.fetch(POSITIONS, [topic]))
        if known not in {0, partitions}:
            raise RefusedError(
                f"topic {topic} has {partitions} partitions and its facts are numbered in {known}:"
                " with another number of partitions the order of a key's facts would be lost."
                " Make the topic with the old number again."
            )
        if not known:
            _ = await self._connection.execute(ADD_POSITIONS, topic, partitions, self._epoch)

    def partitions(self, topic: str) -> int:
        """The number of partitions of a topic that is loaded."""
        return self._partitions[topic]

    async def number(self, rows: Sequence[asyncpg.Record]) -> list[Message]:
        """Move rows of the outbox into the log; the messages to send, in their order."""
        await self.load({row["topic"] for row in rows})
        before = {place: position.numbered for place, position in self.positions.items()}
        placed = self._place(rows)
        event_numbers = await self._log(rows, placed)
        for place, number in placed.reached.items():
            self.positions[place].numbered = number
        messages: list[Message] = []
        numbered = zip(rows, placed.numbers, event_numbers, placed.partitions, strict=True)
        for row, number, event_number, partition in numbered:
            messages.append(
                Message(row["topic"], row["key"], row["payload"], number, event_number, partition)
            )
        if self._epoch > 0:
            return _with_ends_of_epochs(messages, before)
        return messages

    async def _log(self, rows: Sequence[asyncpg.Record], placed: _Placed) -> list[int]:
        """Store the rows under their numbers; the event numbers that they got."""
        first = self._sequence + 1
        logged = await self._connection.fetch(
            NUMBER,
            [row["position"] for row in rows],
            placed.partitions,
            [number.number for number in placed.numbers],
            list(range(first, first + len(rows))),
        )
        if len(logged) != len(rows):
            raise RuntimeError("rows of the outbox vanished while they were numbered")
        self._sequence += len(rows)
        return [row["event_number"] for row in logged]

    def _place(self, rows: Sequence[asyncpg.Record]) -> _Placed:
        placed = _Placed([], [], {})
        for row in rows:
            topic: str = row["topic"]
            among = range(self._partitions[topic])
            place = Place(topic, partition_of(row["key"].encode(), among))
            before = placed.reached.get(place, self.positions[place].numbered)
            number = _following(before, self._epoch)
            placed.reached[place] = number
            placed.numbers.append(number)
            placed.partitions.append(place.partition)
        return placed

    async def unsent(self, place: Place, *, limit: int) -> list[Message]:
        """The next facts that are numbered and not known as sent; empty when there is none.

        Raises:
            RefusedError: the log lacks them.
        """
        position = self.positions[place]
        if position.sent >= position.numbered:
            return []
        rows = await self._connection.fetch(UNSENT, *place, *position.sent, limit)
        if not rows:
            raise RefusedError(
                f"the fact log of {place.topic} does not hold the facts after"
                f" {position.sent.number} of partition {place.partition}"
            )
        messages: list[Message] = []
        for row in rows:
            number = FactNumber(row["epoch"], row["number"])
            messages.append(
                Message(
                    row["topic"],
                    row["key"],
                    row["payload"],
                    number,
                    row["event_number"],
                    place.partition,
                    highest=position.numbered,
                    follows=await self._before_epoch(place, number),
                )
            )
        return messages

    async def _before_epoch(self, place: Place, number: FactNumber) -> FactNumber | None:
        """For the first number of an epoch after the first one: the last number before it."""
        if number.epoch == 0 or number.number > 1:
            return None
        row = await self._connection.fetchrow(LAST_BEFORE, *place, number.epoch)
        if row is None:
            return NO_FACT
        return FactNumber(row["epoch"], row["number"])

    async def mark_sent(self, place: Place, number: FactNumber) -> None:
        """Note how far a partition is sent; also further back than before."""
        self.positions[place].sent = number
        _ = await self._connection.execute(SENT_UP_TO, *place, *number)

    async def mark_all_sent(self) -> None:
        """Note that everything that is numbered is sent."""
        _ = await self._connection.execute(MARK_SENT)
        for position in self.positions.values():
            position.sent = position.numbered

    async def refill(self) -> bool:
        """Do what `request_refill` asks for; whether it asked for something."""
        async with self._connection.transaction():
            since = await self._connection.fetchval(
                "SELECT refill_from FROM relay_state FOR UPDATE"
            )
            if since is None:
                return False
            log.info("relay.refilling", since=str(since))
            _ = await self._connection.execute("SET LOCAL statement_timeout = 0")
            _ = await self._connection.execute(REFILL, since)
            _ = await self._connection.execute("UPDATE relay_state SET refill_from = NULL")
        return True

    async def adopt(self, reader: Reader, place: Place, *, batch: int) -> None:
        """Take facts of a partition that only the topic has, up to its end."""
        position = self.positions[place]
        offset = 0
        while records := await reader.read(place, offset, limit=batch):
            offset = records[-1].offset + 1
            unknown: list[Record] = []
            for record in records:
                # A fact that was sent twice stands twice in the topic.
                if number_of(record) > position.numbered:
                    position.numbered = number_of(record)
                    unknown.append(record)
            if unknown:
                await self._add_adopted(place, unknown)
            log.info("relay.adopting", topic=place.topic, partition=place.partition, offset=offset)
        position.sent = position.numbered
        _ = await self._connection.execute(
            "UPDATE relay_state SET epoch = greatest(epoch, $1)", position.numbered.epoch
        )
        await self._load_state()

    async def _add_adopted(self, place: Place, records: Sequence[Record]) -> None:
        rows: list[AdoptedRow] = []
        for record in records:
            rows.append(_adopted(record))
        columns = [list(column) for column in zip(*rows, strict=True)]
        for month in sorted({row[-1].replace(day=1).date() for row in rows}):
            await self._ensure_month(month)
        async with self._connection.transaction():
            _ = await self._connection.execute(ADOPT, *place, *columns)
            _ = await self._connection.execute(MOVE_TO, *place, *number_of(records[-1]))

    async def ensure_months(self) -> None:
        """Make the partitions of the log for this month and the next."""
        first = clock.now().astimezone(UTC).date().replace(day=1)
        for month in (first, (first + timedelta(days=31)).replace(day=1)):
            await self._ensure_month(month)

    async def _ensure_month(self, first: date) -> None:
        """Make the partition of the month of this first day."""
        name, after = f"fact_log_{first:%Y%m}", (first + timedelta(days=31)).replace(day=1)
        if await self._connection.fetchval(MONTH_EXISTS, name):
            return
        try:
            async with self._connection.transaction():
                _ = await self._connection.execute(
                    f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF fact_log"
                    f" FOR VALUES FROM ('{first}') TO ('{after}')"
                )
        except asyncpg.PostgresError as error:
            # Facts of the month go to the partition of the rest: better than not at all.
            log.warning("fact_log.no_month", month=name, error=type(error).__name__)


AdoptedRow = tuple[int, int, UUID, str, int, int, bytes, datetime]
"""Epoch, number, event id, key, event number, revision, payload, recorded at."""


def _adopted(record: Record) -> AdoptedRow:
    epoch, number = number_of(record)
    try:
        envelope = parse_envelope(record.value)
        event_id, revision = envelope.id, envelope.revision
        recorded = datetime.fromisoformat(envelope.recorded).astimezone(UTC)
    except ValueError:
        # Consumers set it aside under the same id.
        event_id, revision, recorded = unreadable_id(record), 0, clock.now().astimezone(UTC)
    event_number = record.event_number
    revision = max(revision, event_number)
    return (epoch, number, event_id, record.key, event_number, revision, record.value, recorded)


def _with_ends_of_epochs(
    messages: Sequence[Message], before: Mapping[Place, FactNumber]
) -> list[Message]:
    """The messages; the first of an epoch says after which number of its partition it comes."""
    told: list[Message] = []
    for message in messages:
        assert message.number is not None
        assert message.partition is not None
        if message.number.epoch > 0 and message.number.number == 1:
            place = Place(message.topic, message.partition)
            told.append(replace(message, follows=before[place]))
        else:
            told.append(message)
    return told


def _following(number: FactNumber, epoch: int) -> FactNumber:
    """The next number; each epoch begins at 1."""
    if number.epoch == epoch:
        return number.next
    return FactNumber(epoch, 1)


async def request_refill(database: Database, *, since: datetime | None) -> None:
    """Have the relay publish all facts recorded since then again, with their numbers; None: all.

    For a topic that lacks facts of before others that it has. Consumers drop what they have taken.
    """
    async with database.transaction() as session:
        _ = await session.execute(REQUEST_REFILL, {"since": since})


async def note_refusal(connection: asyncpg.Connection, reason: str | None) -> None:
    """Store why nothing is published, for `/readyz`; None when it goes on."""
    _ = await connection.execute(REFUSE, reason)
