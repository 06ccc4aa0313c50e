"""办件编号: serials of a matter's day, handed out outside the application's own transaction.

Inside it, the counter's row would make every application for one matter wait for the commit of the one before. Outside it, a
row is held for an instant, and all that wait for the same counter are served by one statement. The price: an application
that fails at its last step leaves a gap. No number is ever given twice.
"""

import asyncio
from collections import defaultdict
from datetime import date

import asyncpg

from shared.database.session import Database
from shared.errors import UnavailableError

TAKE = (
    "INSERT INTO case_serial (code, day, last) VALUES ($1, $2, $3)"
    " ON CONFLICT (code, day) DO UPDATE SET last = case_serial.last + excluded.last RETURNING last"
)
Counter = tuple[str, date]
AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
"""What the driver raises when the database is away, going, or stumbling."""


class Numbers:
    """Serials from one database over a connection of its own; many callers of one process share it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: asyncpg.Connection | None = None
        self._waiting: defaultdict[Counter, list[asyncio.Future[int]]] = defaultdict(list)
        self._serving: asyncio.Task[None] | None = None

    async def take(self, code: str, day: date) -> int:
        """The next serial of `code` on `day`, from 1; 503 while the database is away."""
        mine: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting[code, day].append(mine)
        if self._serving is None or self._serving.done():
            self._serving = asyncio.create_task(self._serve())
        return await mine

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close(timeout=2)
            self._connection = None

    async def _serve(self) -> None:
        while self._waiting:
            counter = next(iter(self._waiting))
            callers = self._waiting.pop(counter)
            try:
                last = await self._advance(counter, len(callers))
            except Exception as error:
                # Whatever it was, nobody may be left waiting; what is no outage is a fault and goes to its callers as it is.
                away = UnavailableError("try again in a moment", headers={"Retry-After": "2"})
                for caller in _still_there(callers):
                    caller.set_exception(away if isinstance(error, AWAY) else error)
                continue
            for serial, caller in enumerate(callers, start=last - len(callers) + 1):
                if not caller.done():
                    caller.set_result(serial)

    async def _advance(self, counter: Counter, number: int) -> int:
        try:
            return await self._advanced(counter, number)
        except AWAY:
            # The connection may be stale since the database was last away: once more over a new one.
            self._connection = None
            return await self._advanced(counter, number)

    async def _advanced(self, counter: Counter, number: int) -> int:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._database.connect()
            # The case's own commit makes this durable too: whatever it stands on lies before it in the log.
            _ = await self._connection.execute("SET synchronous_commit = off")
        last: int = await self._connection.fetchval(TAKE, *counter, number)  # pyright: ignore[reportAssignmentType]
        return last


def _still_there(callers: list[asyncio.Future[int]]) -> list[asyncio.Future[int]]:
    return [caller for caller in callers if not caller.done()]
