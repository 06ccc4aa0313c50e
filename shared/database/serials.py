"""Serial numbers of a day, assigned outside the transaction that uses them.

Inside it, the row of the counter would make every transaction that takes a number wait for the
commit of the one before. Outside it, the row is locked only for a moment, and one statement serves
all who wait for the same counter. The price: a transaction that fails afterwards leaves a gap. No
number is ever assigned twice.
"""

import asyncio
from collections import defaultdict
from datetime import date, datetime

import asyncpg
from sqlalchemy import Date, Integer, Text
from sqlalchemy.orm import Mapped, mapped_column

from shared import clock
from shared.database.session import Database
from shared.errors import UnavailableError

FLOOR = (
    "(SELECT CASE WHEN $2::date <= serial_floor_until THEN serial_floor ELSE 0 END"
    " FROM relay_state)"
)
"""Above what may have been given before a database was restored to an earlier moment."""
SERIALS_PER_MINUTE = 100_000
"""More than any counter gives in a minute."""
Counter = tuple[str, date]
"""What is numbered, and the day."""
UNAVAILABLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
"""What the driver raises when the database is away, shutting down or failing."""


def serial_floor(now: datetime) -> int:
    """A number that no counter of this day can have reached by now.

    After a restore numbers begin above it, because the database does not know which it had given.
    Nobody else need know either: a number can have been given out and not published.
    """
    local = now.astimezone(clock.SHANGHAI)
    return (local.hour * 60 + local.minute + 1) * SERIALS_PER_MINUTE


class SerialRow:
    """Columns of a table of counters: the last serial number of `code` on `day`."""

    __tablename__: str

    code: Mapped[str] = mapped_column(Text, primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    last: Mapped[int] = mapped_column(Integer)


class SerialAllocator:
    """Serial numbers from one table, over a connection that all callers of a process share."""

    def __init__(self, database: Database, counters: type[SerialRow]) -> None:
        self._database = database
        self._advance_sql = (
            f"INSERT INTO {counters.__tablename__} AS c (code, day, last)"
            f" VALUES ($1, $2, $3 + {FLOOR}) ON CONFLICT (code, day)"
            f" DO UPDATE SET last = greatest(c.last, {FLOOR}) + $3 RETURNING last"
        )
        self._connection: asyncpg.Connection | None = None
        self._waiting: defaultdict[Counter, list[asyncio.Future[int]]] = defaultdict(list)
        self._serving: asyncio.Task[None] | None = None

    async def allocate(self, code: str, day: date) -> int:
        """The next serial number of `code` on `day`, from 1.

        Raises `UnavailableError` while the database is away.
        """
        result: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting[code, day].append(result)
        # One task serves all; callers that come meanwhile wait in the list for its next round.
        if self._serving is None or self._serving.done():
            self._serving = asyncio.create_task(self._serve())
        return await result

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            await self._connection.close(timeout=2)
            self._connection = None

    async def _serve(self) -> None:
        while self._waiting:
            counter = next(iter(self._waiting))
            results = self._waiting.pop(counter)
            try:
                last = await self._advance(counter, len(results))
            except Exception as error:
                # Nobody may be left waiting, whatever the error was.
                _fail(results, error)
                continue
            serial = last - len(results)
            for result in results:
                serial += 1
                # A caller who has gone leaves a gap.
                if not result.done():
                    result.set_result(serial)

    async def _advance(self, counter: Counter, count: int) -> int:
        """Move the counter on; its last serial number."""
        try:
            return await self._advance_once(counter, count)
        except UNAVAILABLE:
            # The connection may be stale since the database was last away: try a new one.
            self._connection = None
            return await self._advance_once(counter, count)

    async def _advance_once(self, counter: Counter, count: int) -> int:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._database.connect()
            # The commit of whoever uses the number makes this durable, too: it comes later in the
            # same log.
            _ = await self._connection.execute("SET synchronous_commit = off")
        last: int = await self._connection.fetchval(self._advance_sql, *counter, count)
        return last


def _fail(results: list[asyncio.Future[int]], error: Exception) -> None:
    """Give the error to everyone who waits; an outage as one that clients understand."""
    if isinstance(error, UNAVAILABLE):
        error = UnavailableError("try again in a moment", headers={"Retry-After": "2"})
    for result in results:
        if not result.done():
            result.set_exception(error)
