"""`Database.transaction`: all or nothing, also on connections that break.

This holds for what goes through SQLAlchemy and for what goes past it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database.direct import Direct, command
from shared.database.session import Database, driver_of, is_database_trouble
from shared.messaging import outbox
from tests.builders.events import a_fact
from tests.conftest import DatabaseFactory, Databases, a_database


class Counted(NamedTuple):
    number: int


COUNT = Direct("SELECT count(*) AS number FROM outbox", Counted)
ADD = command(
    "INSERT INTO outbox (topic, key, event_id, payload) VALUES ('t', 'k', gen_random_uuid(), '')"
)
SLEEP = command("SELECT pg_sleep(20)")
END = command("SELECT pg_terminate_backend(pg_backend_pid())")


async def number(database: Database) -> int:
    async with database.reading() as session:
        row = await COUNT.first(session)
        assert row is not None
        return row.number


async def test_both_ways_of_writing_are_one_transaction(database_of: DatabaseFactory) -> None:
    database = await database_of("assessment")

    async with database.transaction() as session:
        outbox.add(session, a_fact())
        await ADD.execute(session)
    with pytest.raises(LookupError):
        async with database.transaction() as session:
            outbox.add(session, a_fact())
            await session.flush()
            await ADD.execute(session)
            raise LookupError

    assert await number(database) == 2


async def test_direct_statement_sees_what_was_added_before(database_of: DatabaseFactory) -> None:
    database = await database_of("assessment")

    async with database.transaction() as session:
        _ = await COUNT.first(session)
        outbox.add(session, a_fact())
        seen = (await COUNT.first(session)).number

    assert seen == 1


async def test_connection_whose_begin_fails_is_not_used_again(
    database_of: DatabaseFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = await database_of("assessment")
    async with database.transaction() as session:
        broken = (await driver_of(session)).get_server_pid()
    start = asyncpg.transaction.Transaction.start

    async def fail(self: asyncpg.transaction.Transaction) -> None:
        if self._connection.get_server_pid() == broken:
            raise asyncpg.InterfaceError("cannot use Connection.transaction() in a manual one")
        await start(self)

    monkeypatch.setattr(asyncpg.transaction.Transaction, "start", fail)

    with pytest.raises(asyncpg.InterfaceError):
        async with database.transaction() as session:
            _ = await COUNT.first(session)
    for _ in range(3):
        async with database.transaction() as session:
            _ = await COUNT.first(session)
            assert (await driver_of(session)).get_server_pid() != broken


async def test_connections_that_ended_in_the_pool_are_replaced(
    database_of: DatabaseFactory,
) -> None:
    database = await database_of("assessment")
    async with database.reading() as one, database.reading() as other:
        for session in (one, other):
            _ = await COUNT.fetch(session)
    connection = await database.connect()
    _ = await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await connection.close()
    await asyncio.sleep(0.1)  # until the news has reached the sockets

    assert await number(database) == 0


async def test_connection_that_breaks_within_is_not_used_again(
    database_of: DatabaseFactory,
) -> None:
    database = await database_of("assessment")

    with pytest.raises(asyncpg.PostgresError) as caught:
        async with database.transaction() as session:
            await ADD.execute(session)
            await END.execute(session)

    assert is_database_trouble(caught.value)
    assert await number(database) == 0


async def test_database_that_is_closed_while_it_is_restored_is_waited_for(
    databases: Databases,
) -> None:
    name, url = await databases.fresh("assessment")
    database = a_database(url)
    server = await asyncpg.connect(databases.postgres.dsn("postgres"))
    _ = await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")

    with pytest.raises(Exception, match="not currently accepting connections") as caught:
        _ = await number(database)

    assert is_database_trouble(caught.value)
    _ = await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    assert await number(database) == 0
    await server.close()
    await database.close()
    await databases.drop(name)


@pytest.mark.parametrize(
    "sleep", [lambda session: session.execute(text("SELECT pg_sleep(20)")), SLEEP.fetch]
)
async def test_one_that_is_called_off_leaves_nothing_behind(
    database_of: DatabaseFactory, sleep: Callable[[AsyncSession], Awaitable[object]]
) -> None:
    database = await database_of("assessment")
    begun = asyncio.Event()

    async def slow() -> None:
        async with database.transaction() as session:
            await ADD.execute(session)
            begun.set()
            _ = await sleep(session)

    task = asyncio.create_task(slow())
    _ = await begun.wait()
    await asyncio.sleep(0.1)
    _ = task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await number(database) == 0
    assert database.engine.sync_engine.pool.status().count("Checked out connections: 0")


async def test_snapshot_sees_what_its_first_statement_saw(database_of: DatabaseFactory) -> None:
    database = await database_of("assessment")

    async with database.transaction(snapshot=True) as session:
        first = (await COUNT.first(session)).number
        async with database.transaction() as other:
            outbox.add(other, a_fact())
        again = (await COUNT.first(session)).number

    assert (first, again, await number(database)) == (0, 0, 1)


async def test_who_only_waits_holds_no_connection(database_of: DatabaseFactory) -> None:
    database = await database_of("assessment")
    pool = database.engine.sync_engine.pool

    async with database.transaction() as session:
        waiting = pool.status()
        _ = await COUNT.first(session)
        working = pool.status()

    assert "Checked out connections: 0" in waiting
    assert "Checked out connections: 1" in working
    assert "Checked out connections: 0" in pool.status()
