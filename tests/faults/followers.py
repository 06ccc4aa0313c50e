"""A second copy of each service that consumes: with its real handlers, without clients and relay.

A database that was restored to an earlier moment has lost what people did there since then, which
no design brings back. What it took from others comes again by itself, and that is what these show:
their databases hold nothing else, so after any restore they must be equal to one that never was.
"""

import asyncio
import base64
import random
import threading
from collections.abc import Collection, Coroutine
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from shared.database import migrations
from shared.database.session import Database
from shared.messaging.bus import FactNumber, Place, Record, number_of
from shared.messaging.inbox import Inbox
from shared.messaging.kafka import KafkaBus
from tests.faults.compare import compare
from tests.faults.moments import Moments
from tests.faults.platform import Platform, until
from tests.faults.test_redelivery import CONSUMERS, deliver, prepared, state

T = TypeVar("T")
Newest = dict[Place, FactNumber]
POSITIONS = "SELECT topic, partition, epoch, number FROM inbox_position WHERE number > 0"
COUNTED = (
    "SELECT sum(collected), sum(issued), sum(signed), sum(uses), sum(licenses_used)"
    " FROM license_counting"
)
READ = 5000
STOP_SECONDS = 5.0
KEPT = 3
"""Moments of each follower; the server is copied with all of them."""


class Follower:
    """One service's inbox on a database of its own, in the loop of `Followers`."""

    def __init__(self, platform: Platform, service: str) -> None:
        self.service = service
        self.moments = Moments(platform.postgres, f"follower_{service}")
        self._platform = platform
        self._tasks: list[asyncio.Task[None]] = []
        self._open: AsyncExitStack | None = None

    def make(self) -> None:
        """An empty database, kept as the first of its moments."""
        self._platform.postgres.create_databases([self.moments.name])
        url = self._platform.postgres.dsn(self.moments.name)
        asyncio.run(migrations.run_on(url, migrations.upgrade, self.service))

    def database(self, name: str | None = None) -> Database:
        folder = self._platform.folder
        return Database(
            self._platform.postgres.dsn(name or self.moments.name),
            data_key=base64.b64decode(folder.key("data")),
            platform_key=base64.b64decode(folder.key("platform")),
            pool_size=3,
        )

    async def prepare(self) -> None:
        database = self.database()
        _ = await prepared(database, self.service)
        await database.close()

    async def start(self) -> None:
        database = self.database()
        bus = KafkaBus(self._platform.kafka.bootstrap)
        inbox = Inbox(database, bus, consumer=CONSUMERS[self.service])
        self._open = AsyncExitStack()
        _ = self._open.push_async_callback(database.close)
        self._tasks = [asyncio.create_task(inbox.run()), asyncio.create_task(inbox.run_retries())]

    async def stop(self) -> None:
        # A client that is closing its connections to a lost bus is called off, as in a worker.
        left = set(self._tasks)
        while left:
            for task in left:
                _ = task.cancel()
            _, left = await asyncio.wait(left, timeout=STOP_SECONDS)
        if self._open is not None:
            await self._open.aclose()

    async def positions(self) -> Newest:
        connection = await self._platform_connection()
        try:
            rows = await connection.fetch(POSITIONS)
        finally:
            await connection.close()
        return {
            Place(r["topic"], r["partition"]): FactNumber(r["epoch"], r["number"]) for r in rows
        }

    async def _platform_connection(self) -> Any:
        database = self.database()
        connection = await database.connect()
        await database.close()
        return connection


class Followers:
    """One follower of each service, in a thread of their own."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.all = {service: Follower(platform, service) for service in CONSUMERS}
        self._next: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> "Followers":
        self._thread.start()
        for follower in self.all.values():
            follower.make()
            self._do(follower.prepare())
            _ = follower.moments.take()
            self._do(follower.start())
        return self

    def __exit__(self, *_: object) -> None:
        for follower in self.all.values():
            self._do(follower.stop())
            follower.moments.drop_copies()
            follower.moments.drop(follower.moments.name)
        # Connections that are being closed need the loop for a moment.
        self._do(asyncio.sleep(0.2))
        _ = self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def next_service(self, chance: random.Random) -> str:
        """Each once, in a random order, and then again."""
        if not self._next:
            self._next = chance.sample(sorted(self.all), len(self.all))
        return self._next.pop()

    def restore(self, service: str, chance: random.Random) -> None:
        """One of them back to any of its earlier moments, stopped or at work."""
        follower = self.all[service]
        stopped = chance.random() < 0.5
        if stopped:
            self._do(follower.stop())
        follower.moments.restore(chance.choice(follower.moments.copies))
        if stopped:
            self._do(follower.start())
        _ = follower.moments.take()
        # The first is the one before any fact.
        if len(follower.moments.copies) > KEPT:
            follower.moments.drop(follower.moments.copies.pop(1))

    def differences(self) -> list[str]:
        """What differs from databases that took each fact of the topics once."""
        found: list[str] = []
        for service, follower in self.all.items():
            records = self._do(self._facts(CONSUMERS[service].topics))
            newest: Newest = {}
            for record in records:
                newest[record.place] = number_of(record)
            _ = until(
                f"the follower of {service} has taken all",
                lambda follower=follower, newest=newest: self._do(follower.positions()) == newest,
                120,
            )
            found += self._do(self._compare(follower, records))
        return found

    async def _facts(self, topics: Collection[str]) -> list[Record]:
        """Every fact of the topics once, in the order of its partition."""
        bus = KafkaBus(self.platform.kafka.bootstrap)
        found: list[Record] = []
        async with bus.reader() as reader:
            for topic in topics:
                for partition in range(await bus.partitions(topic)):
                    place, offset = Place(topic, partition), 0
                    numbered: dict[FactNumber, Record] = {}
                    while records := await reader.read(place, offset, limit=READ):
                        offset = records[-1].offset + 1
                        for record in records:
                            _ = numbered.setdefault(number_of(record), record)
                    found += [numbered[number] for number in sorted(numbered)]
        return found

    async def _compare(self, follower: Follower, records: list[Record]) -> list[str]:
        service = follower.service
        name = f"control_{service}"
        await asyncio.to_thread(follower.moments.copy_first, name)
        once, again = follower.database(name), follower.database()
        try:
            await deliver(once, CONSUMERS[service], records, random.Random(0))
            expected, found = await state(once, service), await state(again, service)
            # Its rows tell how batches were cut. They are folded by a timer, and their sums count.
            for rows in (expected, found):
                _ = rows.pop("license_counting", None)
            told, told_again = await _told(once, service), await _told(again, service)
        finally:
            await once.close()
            await again.close()
            await asyncio.to_thread(follower.moments.drop, name)
        return [
            *compare(f"rows of the follower of {service} in", dict(found), dict(expected)),
            *compare(f"facts of the follower of {service} about", told_again, told),
        ]


async def _told(database: Database, service: str) -> dict[Any, Any]:
    """How many facts wait for a relay (some of their keys are drawn), and counted licences."""
    connection = await database.connect()
    try:
        told: dict[Any, Any] = {"all": await connection.fetchval("SELECT count(*) FROM outbox")}
        if service == "licenses":
            told["counted"] = tuple(await connection.fetchrow(COUNTED) or ())
        return told
    finally:
        await connection.close()
