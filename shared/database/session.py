"""PostgreSQL: engine, naming convention, and `Database.transaction`.

Nothing else commits.
"""

import base64
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any, cast
from uuid import uuid4

import asyncpg
import orjson
from pydantic import SecretStr
from sqlalchemy import Connection, Engine, MetaData, event
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session as SyncSession
from sqlalchemy.util import await_only, greenlet_spawn

from shared.database.address import driver_arguments, engine_url
from shared.security.crypto import use_key
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


def dump_json(value: object) -> str:
    """JSON for the driver."""
    return orjson.dumps(value).decode()


def new_metadata() -> MetaData:
    """Metadata with the naming convention that every service's tables follow."""
    return MetaData(naming_convention=NAMING)


class Database:
    """One service's database: a pool of connections, sessions that commit at their end.

    Args:
        url: `postgresql://…`.
        data_key: opens the encrypted columns of this service.
        platform_key: opens what services seal for each other in events.
        pool_size: most connections at a time.
        direct_url: for connections outside the pool, which a pooler in between would break; empty:
            the same.
        pooler: `url` is that of PgBouncer, which gives every transaction another connection. The
            role has the settings then (`tongban database-settings`), and no statement stays
            prepared.
    """

    def __init__(
        self,
        url: str,
        *,
        data_key: bytes,
        platform_key: bytes = b"",
        pool_size: int = 10,
        direct_url: str = "",
        pooler: bool = False,
    ) -> None:
        self.dsn = direct_url or url
        self.engine: AsyncEngine = create_async_engine(
            engine_url(url),
            pool_size=pool_size,
            max_overflow=0,
            # Longer than `lock_timeout`, whose error says more.
            pool_timeout=10,
            pool_pre_ping=False,
            # Transactions are begun and ended below, on the driver itself: SQLAlchemy's own way
            # costs as much as four statements.
            isolation_level="AUTOCOMMIT",
            connect_args={**_connect_arguments(pooler=pooler), **driver_arguments(url)},
            json_serializer=dump_json,
            json_deserializer=orjson.loads,
        )
        event.listen(self.engine.sync_engine, "checkout", _replace_ended)
        event.listen(self.engine.sync_engine, "checkin", _end_unfinished)
        self._data_key = data_key
        self._platform_key = platform_key

    @asynccontextmanager
    async def transaction(self, *, snapshot: bool = False) -> AsyncGenerator[AsyncSession]:
        """A session whose work is committed when the block ends and undone when it raises.

        With `snapshot` all its statements see the database as it was at the first one
        (REPEATABLE READ). The connection is taken, and the transaction begun, with the first
        statement, so that code that only waits holds neither.
        """
        isolation = "repeatable_read" if snapshot else None
        async with self._session(isolation=isolation) as session:
            try:
                yield session
                await flush(session)
            except BaseException:
                await _roll_back(session)
                raise
            await _commit(session)

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[AsyncSession]:
        """A session that commits each statement: no BEGIN and COMMIT around a read."""
        async with self._session() as session:
            yield session

    @asynccontextmanager
    async def _session(self, **chosen: Any) -> AsyncGenerator[AsyncSession]:
        with use_key(self._data_key, platform=self._platform_key):
            session = AsyncSession(
                self.engine, sync_session_class=_Session, expire_on_commit=False, info=chosen
            )
            info = session.info
            try:
                yield session
            finally:
                # A session that was never used need not be closed.
                try:
                    if session.in_transaction():
                        await session.close()
                finally:
                    if "connection" in info:
                        await greenlet_spawn(info["connection"].close)

    async def connect(self) -> asyncpg.Connection:
        """A connection outside the pool, for a relay or a bulk path; the caller closes it."""
        return await asyncpg.connect(self.dsn, server_settings=SERVER_SETTINGS, timeout=5)

    async def close(self) -> None:
        """Close the pool."""
        await self.engine.dispose()


def _connect_arguments(*, pooler: bool) -> dict[str, Any]:
    if not pooler:
        return {"server_settings": SERVER_SETTINGS, "timeout": 5}
    return {
        "timeout": 5,
        # The driver keeps no statement, and SQLAlchemy neither and under no name that was used.
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
        "prepared_statement_name_func": lambda: f"tongban_{uuid4().hex}",
    }


class _Session(SyncSession):
    """The part of an `AsyncSession` that begins the driver's transaction with its connection.

    Its `info` holds `isolation` if it is a transaction, `driver` and `begun` since the first
    statement, and `connection` when a direct statement was the first.
    """


@event.listens_for(_Session, "after_begin")
def _begin(session: _Session, _transaction: object, connection: Connection) -> None:
    info = session.info
    if "driver" in info:
        return  # a savepoint
    driver = cast("asyncpg.Connection", connection.connection.driver_connection)
    if "isolation" in info:
        begun = driver.transaction(isolation=info["isolation"])
        try:
            await_only(begun.start())
        except BaseException:
            # Whatever state it is in, the next one who gets it from the pool would fail as well.
            driver.terminate()
            raise
        info["begun"] = begun
    info["driver"] = driver


async def flush(session: AsyncSession) -> None:
    """Write pending changes of entities, if there are any."""
    if session.new or session.dirty or session.deleted:
        await session.flush()


async def driver_of(session: AsyncSession) -> asyncpg.Connection:
    """The driver's connection of a session, in its transaction; for `shared.database.direct`."""
    if "driver" not in session.info:
        await greenlet_spawn(_connect, session.sync_session)
    return session.info["driver"]


def _connect(session: _Session) -> None:
    """Take a connection without the session, whose own way costs as much as two statements.

    The session's own statements use the same connection afterwards.
    """
    connection = cast("Engine", session.get_bind()).connect()
    try:
        _begin(session, None, connection)
    except BaseException:
        connection.close()
        raise
    session.info["connection"] = session.bind = connection


async def _commit(session: AsyncSession) -> None:
    begun: asyncpg.Transaction | None = session.info.get("begun")
    if begun is not None:
        await begun.commit()


async def _roll_back(session: AsyncSession) -> None:
    """Roll back; the caller gets the error that led here, not one of the rollback."""
    if "begun" in session.info and not session.info["driver"].is_closed():
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            await session.info["begun"].rollback()


# SQLAlchemy's adapter of the driver's connection has no public type.
def _replace_ended(adapter: Any, *_: object) -> None:
    """Replace a connection that the server has closed, when it leaves the pool."""
    if adapter.driver_connection.is_closed():
        raise DisconnectionError


def _end_unfinished(adapter: Any, *_: object) -> None:
    """Close a connection whose transaction could not be ended, when it comes back to the pool."""
    if adapter is None:
        return
    driver: asyncpg.Connection = adapter.driver_connection
    if not driver.is_closed() and driver.is_in_transaction():
        driver.terminate()


def is_database_trouble(error: BaseException) -> bool:
    """Whether the database itself failed; then everything waits. Else one piece of work failed."""
    if isinstance(
        error,
        InterfaceError
        | OSError
        | asyncpg.InterfaceError
        | asyncpg.InternalClientError
        | TimeoutError,
    ):
        return True
    if isinstance(error, asyncpg.PostgresError):
        return _is_trouble(getattr(error, "sqlstate", None) or "")
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or _is_trouble(
            getattr(error.orig, "sqlstate", None) or ""
        )
    return isinstance(error, OperationalError)


def _is_trouble(state: str) -> bool:
    """Whether an SQLSTATE is a trouble of the database.

    Classes: connection, missing database, rollback (deadlock, serialisation), resources, operator
    intervention. Codes: lock time-out, read-only (a standby, or a server that recovers), and closed
    for connections, as an operator closes a database to restore it.
    """
    return state[:2] in {"08", "3D", "40", "53", "57"} or state in {"55P03", "25006", "55000"}


def _secret(value: SecretStr | None) -> str:
    if value is None:
        return ""
    return value.get_secret_value()


def open_database(settings: ServiceSettings, pool_size: int | None = None) -> Database:
    """The `Database` that a service's settings name."""
    return Database(
        settings.database_url.get_secret_value(),
        data_key=base64.b64decode(settings.data_key.get_secret_value()),
        platform_key=base64.b64decode(settings.platform_key.get_secret_value()),
        pool_size=pool_size or settings.pool_size,
        direct_url=_secret(settings.direct_database_url),
        pooler=settings.database_pooler,
    )


Row = dict[str, Any]
"""A row of a Core query as a mapping of column names to values."""
