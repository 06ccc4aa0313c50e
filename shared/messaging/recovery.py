"""Going on after a producer's database was restored to an earlier moment (docs/adr/0019).

What was published since then is in the topic and at those who took it, and no longer in the
database. `lost_facts` lists it. `begin_epoch` takes these facts into the fact log, so that they
stay facts, and begins a new epoch, whose numbers follow theirs.
"""

from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import asyncpg
import orjson

from shared import clock
from shared.database import audit
from shared.database.serials import serial_floor
from shared.database.session import Database
from shared.events.base import parse_envelope
from shared.messaging.bus import (
    NO_FACT,
    Bus,
    FactNumber,
    Place,
    Reader,
    Record,
    number_of,
    unreadable_id,
)
from shared.messaging.fact_log import FactLog
from shared.messaging.topic_check import KNOWN, TAIL, ends_of

BATCH = 1000
LOCK_LEADER = "SELECT pg_advisory_xact_lock($1)"
NEW_EPOCH = """
UPDATE relay_state SET epoch = $1, refused = NULL, serial_floor = greatest(serial_floor, $2),
    serial_floor_until = greatest(serial_floor_until, $3)
"""
AUDIT = """
INSERT INTO audit (id, at, actor, on_behalf_of, action, object_type, object_id, reason, detail,
    request_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""
WAITING = "SELECT event_id FROM outbox"


class NothingLostError(Exception):
    """The topic holds nothing that the database does not know."""


class NewEpoch(NamedTuple):
    """What `begin_epoch` did."""

    epoch: int
    adopted: int
    """Facts that the database did not know, and now has in its log."""
    serial_floor: int
    serial_floor_until: date


async def lost_facts(
    connection: asyncpg.Connection, bus: Bus, *, topic: str
) -> AsyncIterator[Record]:
    """The facts of the topic that the database does not know, in the order of each partition.

    Without those that it had not published at the moment of the copy: they wait in its outbox.
    Reads the topic from its beginning, because facts that were sent again can stand anywhere.

    Raises:
        LookupError: there is no such topic.
    """
    partitions = await bus.partitions(topic)
    known: dict[int, FactNumber] = {}
    for row in await connection.fetch(KNOWN, topic):
        known[row["partition"]] = FactNumber(row["epoch"], row["number"])
    waiting: set[UUID] = {row["event_id"] for row in await connection.fetch(WAITING)}
    async with bus.reader() as reader:
        for partition in range(partitions):
            place = Place(topic, partition)
            reached = known.get(partition, NO_FACT)
            async for record in _after(reader, place, reached=reached):
                if id_of(record) not in waiting:
                    yield record


def id_of(record: Record) -> UUID:
    """The id of the event, or of its place where it cannot be read."""
    try:
        return parse_envelope(record.value).id
    except ValueError:
        return unreadable_id(record)


async def _after(reader: Reader, place: Place, *, reached: FactNumber) -> AsyncIterator[Record]:
    """The records above `reached`, each number once."""
    offset = 0
    while records := await reader.read(place, offset, limit=BATCH):
        offset = records[-1].offset + 1
        for record in records:
            if number_of(record) > reached:
                reached = number_of(record)
                yield record


async def begin_epoch(
    database: Database, bus: Bus, *, topic: str, leader_lock: int, now: datetime, reason: str
) -> NewEpoch:
    """Take what the topic holds as it is, and go on in a new epoch of numbers, in one transaction.

    Serial numbers of today and tomorrow (another process's clock may be ahead) begin above all
    that can have been given.

    Args:
        leader_lock: the lock of the relay that leads; none publishes meanwhile.

    Raises:
        NothingLostError: the topic holds nothing that the database does not know.
    """
    connection = await database.connect()
    try:
        async with connection.transaction():
            for setting in ("statement_timeout", "lock_timeout"):
                _ = await connection.execute(f"SET LOCAL {setting} = 0")
            _ = await connection.execute(LOCK_LEADER, leader_lock)
            before = await connection.fetchval("SELECT sequence FROM relay_state")
            epoch = await _adopt_lost(connection, bus, topic=topic)
            after = await connection.fetchval("SELECT sequence FROM relay_state")
            found = NewEpoch(
                epoch + 1,
                after - before,
                serial_floor(now),
                clock.local_date(now) + timedelta(days=1),
            )
            _ = await connection.execute(
                NEW_EPOCH, found.epoch, found.serial_floor, found.serial_floor_until
            )
            await _audit(connection, found, topic=topic, reason=reason)
            return found
    finally:
        await connection.close(timeout=2)


async def _adopt_lost(connection: asyncpg.Connection, bus: Bus, *, topic: str) -> int:
    """Take the facts that only the topic has into the log; the highest epoch anywhere."""
    facts = FactLog(connection, bus)
    await facts.load({topic})
    partitions = facts.partitions(topic)
    highest: int = await connection.fetchval("SELECT epoch FROM relay_state")
    lost = False
    async with bus.reader() as reader:
        ends = await ends_of(reader, topic, partitions=partitions, tail=TAIL)
        for partition, end in sorted(ends.items()):
            place = Place(topic, partition)
            highest = max(highest, end.highest.epoch)
            if end.highest > facts.positions[place].numbered:
                lost = True
                await facts.adopt(reader, place, batch=BATCH)
    if not lost:
        raise NothingLostError
    return highest


async def _audit(
    connection: asyncpg.Connection, found: NewEpoch, *, topic: str, reason: str
) -> None:
    row = audit.entry(
        "facts.new-epoch",
        object_type="topic",
        object_id=topic,
        reason=reason,
        epoch=found.epoch,
        adopted=found.adopted,
        serial_floor=found.serial_floor,
        serial_floor_until=found.serial_floor_until.isoformat(),
    )
    detail = orjson.dumps(row["detail"]).decode()
    about = [row[name] for name in ("id", "at", "actor", "on_behalf_of", "action")]
    about += [row[name] for name in ("object_type", "object_id", "reason")]
    _ = await connection.execute(AUDIT, *about, detail, row["request_id"])
