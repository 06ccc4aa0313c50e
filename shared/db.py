"""PostgreSQL: engine, naming convention, and `transaction()`, the only place that commits."""

import base64
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any, Literal, cast

import asyncpg
import orjson
from fastapi import Depends, Request
from sqlalchemy import MetaData
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine

from shared.crypto import use_key
from shared.settings import ServiceSettings

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

SERVER_SETTINGS = {
    # A lock that does not come within this time is an answer for the client, not a hang.
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "60s",
    "statement_timeout": "30s",
    "jit": "off",
    # Solid-state disks: a page anywhere costs about as much as the next one.
    "random_page_cost": "1.1",
    "timezone": "UTC",
}

DRIVER = "driver"
"""Under this name a session's `info` holds the driver's connection, for `shared.direct`."""


def new_metadata() -> MetaData:
    """Metadata with the naming convention that every service's tables follow."""
    return MetaData(naming_convention=NAMING)


class Database:
    """One service's database: a pool of connections, sessions that commit at their end.

    `url` is `postgresql://…`; `data_key` opens the encrypted columns of this service, `platform_key` what events seal.
    """

    def __init__(self, url: str, *, data_key: bytes, platform_key: bytes = b"", pool_size: int = 10) -> None:
        self.dsn = url
        self.engine: AsyncEngine = create_async_engine(
            make_url(url).set(drivername="postgresql+asyncpg"),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=5,
            pool_pre_ping=False,
            # Transactions are begun and ended below, on the driver itself: SQLAlchemy's own way costs as much as four statements.
            isolation_level="AUTOCOMMIT",
            connect_args={"server_settings": SERVER_SETTINGS, "timeout": 5},
            json_serializer=lambda value: orjson.dumps(value).decode(),
            json_deserializer=orjson.loads,
        )
        self._keys = (data_key, platform_key)

    @asynccontextmanager
    async def transaction(self, *, snapshot: bool = False) -> AsyncGenerator[AsyncSession]:
        """A session whose work is committed when the block ends and undone when it raises.

        With `snapshot` all its statements see the database as it was at the first (REPEATABLE READ).
        """
        isolation = "repeatable_read" if snapshot else None
        with use_key(*self._keys):
            async with (
                self._connection() as (connection, driver),
                _begun(driver, isolation),
                _session_on(connection, driver) as session,
            ):
                yield session
                if session.new or session.dirty or session.deleted:
                    await session.flush()

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[AsyncSession]:
        """A session for one consistent statement at a time: no BEGIN and COMMIT around a read."""
        with use_key(*self._keys):
            async with self._connection() as (connection, driver), _session_on(connection, driver) as session:
                yield session

    @asynccontextmanager
    async def _connection(self) -> AsyncGenerator[tuple[AsyncConnection, asyncpg.Connection]]:
        """A connection of the pool that lives, and the driver's own one under it."""
        async with self.engine.connect() as connection:
            driver = _driver(connection)
            while driver.is_closed():  # the server ended it while it lay in the pool, perhaps with others
                await connection.invalidate()
                _ = await connection.get_raw_connection()
                driver = _driver(connection)
            try:
                yield connection, driver
            finally:
                if driver.is_closed() or driver.is_in_transaction():
                    await connection.invalidate()

    async def connect(self) -> asyncpg.Connection:
        """A connection of its own, outside the pool, for a relay or a bulk path."""
        return await asyncpg.connect(self.dsn, server_settings=SERVER_SETTINGS, timeout=5)

    async def close(self) -> None:
        await self.engine.dispose()


def _driver(connection: AsyncConnection) -> asyncpg.Connection:
    """The driver's connection under SQLAlchemy's, which does not watch what is done with it."""
    assert connection.sync_connection is not None
    return cast("asyncpg.Connection", connection.sync_connection.connection.driver_connection)


@asynccontextmanager
async def _begun(driver: asyncpg.Connection, isolation: Literal["repeatable_read"] | None) -> AsyncGenerator[None]:
    """The driver's transaction; whatever undoes it is what the caller hears, also when the connection is gone with it."""
    transaction = driver.transaction(isolation=isolation)
    await transaction.start()
    try:
        yield
    except BaseException:
        if not driver.is_closed():
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await transaction.rollback()
        raise
    await transaction.commit()


@asynccontextmanager
async def _session_on(connection: AsyncConnection, driver: asyncpg.Connection) -> AsyncGenerator[AsyncSession]:
    session = AsyncSession(connection, expire_on_commit=False, info={DRIVER: driver})
    try:
        yield session
    finally:
        # What was never used need not be closed; and there is nothing to wait for, so that nothing shields it.
        if session.in_transaction():
            await session.close()


def open_database(settings: ServiceSettings, pool_size: int | None = None) -> Database:
    """The `Database` that a service's settings name."""
    return Database(
        settings.database_url.get_secret_value(),
        data_key=base64.b64decode(settings.data_key.get_secret_value()),
        platform_key=base64.b64decode(settings.platform_key.get_secret_value()),
        pool_size=pool_size or settings.pool_size,
    )


async def request_session(request: Request) -> AsyncIterator[AsyncSession]:
    database: Database = request.app.state.database
    async with database.transaction() as session:
        yield session


async def request_reader(request: Request) -> AsyncIterator[AsyncSession]:
    database: Database = request.app.state.database
    async with database.reading() as session:
        yield session


# scope="function": with FastAPI's default scope a commit that fails after `yield` would still answer 200.
Session = Annotated[AsyncSession, Depends(request_session, scope="function")]
"""The request's transaction, committed before the answer leaves."""
ReadSession = Annotated[AsyncSession, Depends(request_reader, scope="function")]
"""For endpoints that only read."""

Row = dict[str, Any]
"""A row of a Core query as a mapping of column names to values."""
