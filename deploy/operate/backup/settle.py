"""Let a restored platform take the facts that were under way at its moment, without a broker.

At any moment some facts are numbered or waiting and not yet taken. The broker that had them does
not belong to the scratch place; but every producer keeps its facts. So the relays and inboxes of
the platform run against a bus that reads the producers' fact logs. Nothing else runs: no timer, no
request, nothing that reaches anybody outside.
"""

import asyncio
import base64
from collections.abc import AsyncGenerator, Collection, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg

from deploy.operate.recount.compare import consumer_of
from shared.database.session import Database
from shared.events.base import topic_of
from shared.messaging.bus import FactNumber, LackingCopies, Message, Place, Positions, Record
from shared.messaging.inbox import Inbox
from shared.messaging.outbox import Relay

AFTER = """
SELECT key, payload, epoch, number, event_number FROM fact_log
WHERE topic = $1 AND partition = $2 AND (epoch, number) > ($3, $4)
ORDER BY epoch, number LIMIT $5
"""
LAST = """
SELECT key, payload, epoch, number, event_number FROM fact_log
WHERE topic = $1 AND partition = $2 ORDER BY epoch DESC, number DESC LIMIT 1
"""
AT = """
SELECT key, payload, epoch, number, event_number FROM fact_log
WHERE topic = $1 AND partition = $2 AND number = $3 ORDER BY epoch DESC LIMIT 1
"""
PLACES = "SELECT partition FROM relay_position WHERE topic = $1 ORDER BY partition"
TAKEN = "SELECT partition, epoch, number FROM inbox_position WHERE topic = $1"
BEGINNING = FactNumber(0, 0)
POLL = 0.1
"""Seconds."""


class FactLogPublisher:
    """What is published is in the fact log already."""

    async def publish(self, messages: Sequence[Message]) -> None:
        """See `shared.messaging.bus.Publisher`."""


class FactLogBus:
    """See `shared.messaging.bus.Bus`: reads the fact logs for one service, and writes nothing.

    `producers` are the databases of all services, `own` is that of the one that reads.
    """

    def __init__(self, producers: Mapping[str, asyncpg.Pool], own: asyncpg.Pool) -> None:
        self._logs = {topic_of(service): pool for service, pool in producers.items()}
        self._own = own

    async def ensure_topics(self, topics: Sequence[str]) -> None:
        """They are there."""

    async def lacking_copies(self, topics: Sequence[str]) -> dict[str, LackingCopies]:
        """None: nobody relies on these copies."""
        return dict.fromkeys(topics, LackingCopies(0, 0))

    async def partitions(self, topic: str) -> int:
        return max(len(await self._places(topic)), 1)

    async def _places(self, topic: str) -> list[Place]:
        async with self._logs[topic].acquire() as connection:
            rows = await connection.fetch(PLACES, topic)
        return [Place(topic, row["partition"]) for row in rows]

    @asynccontextmanager
    async def publisher(self) -> AsyncGenerator[FactLogPublisher]:
        yield FactLogPublisher()

    @asynccontextmanager
    async def reader(self) -> AsyncGenerator["FactLogBus"]:
        yield self

    async def newest(self, topic: str, partitions: int) -> dict[int, Record]:
        """See `shared.messaging.bus.Reader`."""
        found: dict[int, Record] = {}
        async with self._logs[topic].acquire() as connection:
            for partition in range(partitions):
                row = await connection.fetchrow(LAST, topic, partition)
                if row is not None:
                    found[partition] = _record(Place(topic, partition), row)
        return found

    async def read(self, place: Place, offset: int, *, limit: int) -> list[Record]:
        """See `shared.messaging.bus.Reader`; an offset is the number before."""
        return await self.after(place, FactNumber(0, offset), limit=limit)

    async def ends(self, places: Collection[Place]) -> dict[Place, int]:
        """See `shared.messaging.bus.Reader`."""
        found: dict[Place, int] = {}
        for place in places:
            newest = await self.newest(place.topic, place.partition + 1)
            found[place] = 0
            if place.partition in newest:
                found[place] = newest[place.partition].offset + 1
        return found

    async def at(self, offsets: Mapping[Place, int]) -> dict[Place, Record]:
        """See `shared.messaging.bus.Reader`."""
        found: dict[Place, Record] = {}
        for place, offset in offsets.items():
            async with self._logs[place.topic].acquire() as connection:
                row = await connection.fetchrow(AT, place.topic, place.partition, offset + 1)
            if row is not None:
                found[place] = _record(place, row)
        return found

    async def after(self, place: Place, number: FactNumber, *, limit: int) -> list[Record]:
        """The next facts of a partition, in order."""
        async with self._logs[place.topic].acquire() as connection:
            rows = await connection.fetch(
                AFTER, place.topic, place.partition, number.epoch, number.number, limit
            )
        return [_record(place, row) for row in rows]

    @asynccontextmanager
    async def subscription(
        self, group: str, topics: Sequence[str], *, positions: Positions | None = None
    ) -> AsyncGenerator["FactLogSubscription"]:
        reached: dict[Place, FactNumber] = {}
        for topic in topics:
            for place in await self._places(topic):
                reached[place] = BEGINNING
            async with self._own.acquire() as connection:
                rows = await connection.fetch(TAKEN, topic)
            for row in rows:
                number = FactNumber(row["epoch"], row["number"])
                reached[Place(topic, row["partition"])] = number
        if positions is not None:
            # It wants to know the places; the numbers say where to go on.
            _ = await positions({place: number.number for place, number in reached.items()})
        yield FactLogSubscription(self, reached)

    async def ready(self) -> bool:
        return True


class FactLogSubscription:
    """See `shared.messaging.bus.Subscription`."""

    def __init__(self, bus: FactLogBus, reached: dict[Place, FactNumber]) -> None:
        self._bus = bus
        self._reached = reached

    async def poll(self, limit: int, timeout: float) -> list[Record]:
        for place, number in self._reached.items():
            records = await self._bus.after(place, number, limit=limit)
            if records:
                last = records[-1].number
                assert last is not None
                self._reached[place] = last
                return records
        await asyncio.sleep(min(timeout, POLL))
        return []

    async def acknowledge(self, records: Sequence[Record]) -> None:
        """The position in the database says it."""

    async def rewind(self, place: Place, offset: int) -> None:
        # Offsets mean nothing here. What was taken is dropped by its number.
        self._reached[place] = BEGINNING


def _record(place: Place, row: asyncpg.Record) -> Record:
    return Record(
        place.topic,
        row["key"],
        row["payload"],
        place.partition,
        row["number"] - 1,
        FactNumber(row["epoch"], row["number"]),
        row["event_number"],
    )


@asynccontextmanager
async def settling(databases: Mapping[str, str], keys: Mapping[str, str]) -> AsyncGenerator[None]:
    """While the block runs, every service publishes and takes what was under way.

    `keys` are those of the services by the name of their setting.
    """
    async with AsyncExitStack() as stack:
        pools: dict[str, asyncpg.Pool] = {}
        for service, url in databases.items():
            pools[service] = await asyncpg.create_pool(url, min_size=0, max_size=4)
            _ = stack.push_async_callback(pools[service].close)
        tasks: list[asyncio.Task[None]] = []
        for service, url in databases.items():
            database = _open(service, url, keys=keys)
            _ = stack.push_async_callback(database.close)
            bus = FactLogBus(pools, pools[service])
            for work in _work_of(service, database, bus=bus):
                tasks.append(asyncio.create_task(work))
        try:
            yield
        finally:
            for task in tasks:
                _ = task.cancel()
            _ = await asyncio.gather(*tasks, return_exceptions=True)


def _open(service: str, url: str, *, keys: Mapping[str, str]) -> Database:
    name = service.upper()
    return Database(
        url,
        data_key=base64.b64decode(keys.get(f"{name}_DATA_KEY", "")),
        platform_key=base64.b64decode(keys.get(f"{name}_PLATFORM_KEY", "")),
        pool_size=2,
    )


def _work_of(
    service: str, database: Database, *, bus: FactLogBus
) -> list[Coroutine[object, object, None]]:
    consumer = consumer_of(service)
    relay = Relay(database, bus, topic=topic_of(service), rebuildable=consumer.rebuildable)
    inbox = Inbox(database, bus, consumer=consumer)
    return [relay.run(), inbox.run(), inbox.run_retries()]
