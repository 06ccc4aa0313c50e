"""The in-process bus of the embedded run.

It keeps a log per topic in PostgreSQL, and offsets per consumer group.

It gives Kafka's guarantees on one machine: messages are durable when `publish` returns, in order
per topic, readable from the start, and redelivered until acknowledged. One process reads and writes
it, so an `asyncio.Condition` wakes the readers.
"""

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager

import asyncpg

from shared.messaging.bus import (
    FactNumber,
    LackingCopies,
    Message,
    Place,
    Positions,
    Record,
)

SCHEMA = """
CREATE TABLE IF NOT EXISTS bus_topic (
    topic text PRIMARY KEY, next_offset bigint NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS bus_log (
    topic text NOT NULL, log_offset bigint NOT NULL, key text NOT NULL, value bytea NOT NULL,
    PRIMARY KEY (topic, log_offset));
ALTER TABLE bus_log ADD COLUMN IF NOT EXISTS epoch integer,
    ADD COLUMN IF NOT EXISTS number bigint, ADD COLUMN IF NOT EXISTS event_number bigint,
    ADD COLUMN IF NOT EXISTS highest bigint[], ADD COLUMN IF NOT EXISTS follows bigint[];
CREATE TABLE IF NOT EXISTS bus_group (
    name text NOT NULL, topic text NOT NULL, next_offset bigint NOT NULL,
    PRIMARY KEY (name, topic));
"""
# Offsets come from the topic's row, whose lock makes the order of commits the order of offsets: a
# reader never skips a row.
APPEND = """
WITH taken AS (
    UPDATE bus_topic SET next_offset = next_offset + $2 WHERE topic = $1
    RETURNING next_offset - $2 AS first)
INSERT INTO bus_log SELECT $1, taken.first + m.place - 1, m.key, m.value, m.epoch, m.number,
    m.event_number, m.highest::bigint[], m.follows::bigint[]
FROM taken, unnest($3::text[], $4::bytea[], $5::integer[], $6::bigint[], $7::bigint[], $8::text[],
    $9::text[])
    WITH ORDINALITY AS m (key, value, epoch, number, event_number, highest, follows, place)
"""
READ = """
SELECT topic, log_offset, key, value, epoch, number, event_number, highest, follows FROM bus_log
WHERE topic = $1 AND log_offset >= $2 ORDER BY log_offset LIMIT $3
"""
NEWEST = """
SELECT topic, log_offset, key, value, epoch, number, event_number, highest, follows FROM bus_log
WHERE topic = $1 ORDER BY log_offset DESC LIMIT 1
"""
ADVANCE = """
INSERT INTO bus_group VALUES ($1, $2, $3)
ON CONFLICT (name, topic) DO UPDATE
SET next_offset = greatest(bus_group.next_offset, excluded.next_offset)
"""


def _columns(messages: Sequence[Message]) -> tuple[list[object], ...]:
    """Key, value, epoch, number, event number, highest and follows of each."""
    rows: list[tuple[object, ...]] = []
    for message in messages:
        epoch, number = message.number or (None, None)
        marks = (_array(message.highest), _array(message.follows))
        rows.append((message.key, message.value, epoch, number, message.event_number, *marks))
    return tuple(list(column) for column in zip(*rows, strict=True))


def _array(number: FactNumber | None) -> str | None:
    """As PostgreSQL reads an array; arrays of arrays cannot be unnested one by one."""
    if number is None:
        return None
    return f"{{{number.epoch},{number.number}}}"


def _number(array: Sequence[int] | None) -> FactNumber | None:
    if array is None:
        return None
    return FactNumber(*array)


def _record(row: asyncpg.Record) -> Record:
    number = None
    if row["number"] is not None:
        number = FactNumber(row["epoch"], row["number"])
    return Record(
        row["topic"],
        row["key"],
        row["value"],
        0,
        row["log_offset"],
        number,
        row["event_number"] or 0,
        _number(row["highest"]),
        _number(row["follows"]),
    )


class LocalPublisher:
    """See `shared.messaging.bus.Publisher`."""

    def __init__(self, bus: "LocalBus") -> None:
        self._bus = bus

    async def publish(self, messages: Sequence[Message]) -> None:
        pool = await self._bus.pool()
        async with pool.acquire() as connection, connection.transaction():
            for topic in sorted({message.topic for message in messages}):
                batch = [message for message in messages if message.topic == topic]
                done = await connection.execute(APPEND, topic, len(batch), *_columns(batch))
                if done != f"INSERT 0 {len(batch)}":
                    raise LookupError(f"topic {topic} does not exist")
        await self._bus.wake()


class LocalSubscription:
    """See `shared.messaging.bus.Subscription`."""

    def __init__(self, bus: "LocalBus", group: str, *, positions: dict[str, int]) -> None:
        self._bus = bus
        self._group = group
        self._positions = positions

    async def poll(self, limit: int, timeout: float) -> Sequence[Record]:
        generation = self._bus.generation
        records = await self._read(limit)
        if records or not await self._bus.wait(generation, timeout):
            return records
        return await self._read(limit)

    async def _read(self, limit: int) -> list[Record]:
        pool = await self._bus.pool()
        records: list[Record] = []
        async with pool.acquire() as connection:
            for topic, position in self._positions.items():
                rows = await connection.fetch(READ, topic, position, limit - len(records))
                records += [_record(row) for row in rows]
                if rows:
                    self._positions[topic] = rows[-1]["log_offset"] + 1
                if len(records) >= limit:
                    break
        return records

    async def rewind(self, place: Place, offset: int) -> None:
        self._positions[place.topic] = offset

    async def acknowledge(self, records: Sequence[Record]) -> None:
        ends = {record.topic: record.offset + 1 for record in records}
        pool = await self._bus.pool()
        async with pool.acquire() as connection:
            await connection.executemany(
                ADVANCE, [(self._group, topic, end) for topic, end in ends.items()]
            )


class LocalReader:
    """See `shared.messaging.bus.Reader`."""

    def __init__(self, bus: "LocalBus") -> None:
        self._bus = bus

    async def newest(self, topic: str, partitions: int) -> dict[int, Record]:
        pool = await self._bus.pool()
        async with pool.acquire() as connection:
            row = await connection.fetchrow(NEWEST, topic)
        return {} if row is None else {0: _record(row)}

    async def read(self, place: Place, offset: int, *, limit: int) -> list[Record]:
        pool = await self._bus.pool()
        async with pool.acquire() as connection:
            rows = await connection.fetch(READ, place.topic, offset, limit)
        return [_record(row) for row in rows]

    async def ends(self, places: Collection[Place]) -> dict[Place, int]:
        found = await self._bus.ends([place.topic for place in places])
        return {place: found.get(place.topic, 0) for place in places}

    async def at(self, offsets: Mapping[Place, int]) -> dict[Place, Record]:
        found: dict[Place, Record] = {}
        for place, offset in offsets.items():
            for record in await self.read(place, offset, limit=1):
                found[place] = record
        return found


class LocalBus:
    """`url` names the database of the log; its tables are made on first use."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()
        self._changed = asyncio.Condition()
        self.generation = 0

    async def pool(self) -> asyncpg.Pool:
        async with self._opening:
            if self._pool is None:
                pool = await asyncpg.create_pool(self._url, min_size=1, max_size=8)
                async with pool.acquire() as connection:
                    _ = await connection.execute(SCHEMA)
                self._pool = pool
        return self._pool

    async def wake(self) -> None:
        async with self._changed:
            self.generation += 1
            self._changed.notify_all()

    async def wait(self, generation: int, timeout: float) -> bool:
        """Wait for something newer than `generation`, at most `timeout` seconds.

        Returns whether there is something.
        """
        try:
            async with asyncio.timeout(timeout), self._changed:
                _ = await self._changed.wait_for(lambda: self.generation != generation)
        except TimeoutError:
            return False
        return True

    async def ensure_topics(self, topics: Sequence[str]) -> None:
        pool = await self.pool()
        async with pool.acquire() as connection:
            await connection.executemany(
                "INSERT INTO bus_topic (topic) VALUES ($1) ON CONFLICT DO NOTHING",
                [(topic,) for topic in topics],
            )

    async def lacking_copies(self, topics: Sequence[str]) -> dict[str, LackingCopies]:
        """None: the one copy is as safe as the database that holds it."""
        return dict.fromkeys(topics, LackingCopies(0, 0))

    async def partitions(self, topic: str) -> int:
        pool = await self.pool()
        async with pool.acquire() as connection:
            known = await connection.fetchval(
                "SELECT EXISTS (SELECT FROM bus_topic WHERE topic = $1)", topic
            )
        if not known:
            raise LookupError(f"topic {topic} does not exist")
        return 1

    @asynccontextmanager
    async def reader(self) -> AsyncGenerator[LocalReader]:
        yield LocalReader(self)

    @asynccontextmanager
    async def publisher(self) -> AsyncGenerator[LocalPublisher]:
        yield LocalPublisher(self)

    @asynccontextmanager
    async def subscription(
        self, group: str, topics: Sequence[str], *, positions: Positions | None = None
    ) -> AsyncGenerator[LocalSubscription]:
        pool = await self.pool()
        async with pool.acquire() as connection:
            rows = await connection.fetch(
                "SELECT topic, next_offset FROM bus_group WHERE name = $1", group
            )
        known = {row["topic"]: row["next_offset"] for row in rows}
        if positions is not None:
            left = {Place(topic, 0): known.get(topic, 0) for topic in topics}
            ends = await self.ends(topics)
            for place, offset in (await positions(left)).items():
                # A log that was filled again holds no fact twice and may be shorter.
                known[place.topic] = offset if offset <= ends.get(place.topic, 0) else 0
        yield LocalSubscription(
            self, group, positions={topic: known.get(topic, 0) for topic in topics}
        )

    async def ends(self, topics: Sequence[str]) -> dict[str, int]:
        """The offset that the next record of each topic will get."""
        pool = await self.pool()
        async with pool.acquire() as connection:
            rows = await connection.fetch(
                "SELECT topic, next_offset FROM bus_topic WHERE topic = ANY($1::text[])", topics
            )
        return {row["topic"]: row["next_offset"] for row in rows}

    async def ready(self) -> bool:
        try:
            pool = await self.pool()
            async with pool.acquire() as connection:
                return await connection.fetchval("SELECT true")
        except (OSError, asyncpg.PostgresError):
            return False

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.close()
            self._pool = None
