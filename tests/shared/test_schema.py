"""Code is ready on a schema at or above what it needs, and not where a later release contracted."""

import asyncio
from collections.abc import AsyncGenerator

import asyncpg
import pytest

from shared.database import migrations
from shared.database.schema import CONTRACT, Fit, history, read_schema
from shared.database.session import Database
from shared.runtime.readiness import readiness
from tests.conftest import DatabaseFactory, Databases

LATER = "assessment_9999"


@pytest.fixture
async def database(database_of: DatabaseFactory) -> Database:
    return await database_of("assessment")


@pytest.fixture
async def connection(database: Database) -> AsyncGenerator[asyncpg.Connection]:
    connection = await database.connect()
    yield connection
    await connection.close()


async def migrate_later(connection: asyncpg.Connection, *, oldest_code: str = "") -> None:
    """What a later release does: it adds, or takes away what code before `oldest_code` uses."""
    _ = await connection.execute("ALTER TABLE day_count ADD COLUMN colour text")
    _ = await connection.execute("UPDATE alembic_version SET version_num = $1", LATER)
    if oldest_code:
        _ = await connection.execute(
            "INSERT INTO schema_contraction VALUES ($1, $2, '0.2.0')", LATER, oldest_code
        )


async def test_schema_that_a_later_release_added_to_is_ready(
    database: Database, connection: asyncpg.Connection
) -> None:
    await migrate_later(connection)

    checks = await readiness("assessment", database, bus=None)

    assert checks == {"database": True, "migrations": True, "facts": True}


async def test_schema_contracted_for_code_as_new_as_this_is_ready(
    database: Database, connection: asyncpg.Connection
) -> None:
    await migrate_later(connection, oldest_code=history("assessment")[0])

    assert (await readiness("assessment", database, bus=None))["migrations"]


async def test_schema_contracted_beyond_this_code_is_not_ready(
    database: Database, connection: asyncpg.Connection
) -> None:
    await migrate_later(connection, oldest_code="assessment_9998")

    assert not (await readiness("assessment", database, bus=None))["migrations"]


async def test_schema_behind_the_code_is_not_ready(
    database: Database, connection: asyncpg.Connection
) -> None:
    before = history("assessment")[1]
    _ = await connection.execute("UPDATE alembic_version SET version_num = $1", before)

    assert not (await readiness("assessment", database, bus=None))["migrations"]


async def test_unknown_schema_that_cannot_tell_is_not_ready(
    database: Database, connection: asyncpg.Connection
) -> None:
    await migrate_later(connection)
    _ = await connection.execute("DROP TABLE schema_contraction")

    assert not (await readiness("assessment", database, bus=None))["migrations"]


async def upgrade(url: str) -> None:
    # Alembic is synchronous.
    migrating = migrations.run_on(url, migrations.upgrade, "assessment")
    await asyncio.to_thread(asyncio.run, migrating)


async def test_earlier_code_leaves_a_later_schema_as_it_is(
    database: Database, connection: asyncpg.Connection
) -> None:
    await migrate_later(connection)

    await upgrade(database.dsn)

    assert await connection.fetchval("SELECT version_num FROM alembic_version") == LATER


async def test_earlier_code_refuses_to_migrate_a_contracted_schema(
    database: Database, connection: asyncpg.Connection
) -> None:
    await migrate_later(connection, oldest_code="assessment_9998")

    with pytest.raises(migrations.UnknownVersionError, match=f"version {LATER}, which this code"):
        await upgrade(database.dsn)


async def test_migration_waits_for_a_lock_without_holding_up_others(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "LOCK_TIMEOUT", "100ms")
    monkeypatch.setattr(migrations, "LOCK_PAUSES", (0.2, 0.2, 0.2, 0.2, 0.2))
    name, url = await databases.empty()
    first = migrations.run_on(url, lambda one: migrations.upgrade("assessment", one, to=V6))
    await asyncio.to_thread(asyncio.run, first)
    holder, other = await asyncpg.connect(url), await asyncpg.connect(url)
    held = holder.transaction()
    await held.start()
    # A long report reads the table that the next migration changes.
    _ = await holder.fetch("SELECT * FROM dead_letter")

    migrating = asyncio.create_task(upgrade(url))
    waits: list[float] = []
    for _ in range(20):
        begun = asyncio.get_running_loop().time()
        _ = await other.fetch("SELECT * FROM dead_letter")
        waits.append(asyncio.get_running_loop().time() - begun)
        await asyncio.sleep(0.02)
    assert not migrating.done()
    await held.rollback()
    await migrating
    version = await other.fetchval("SELECT version_num FROM alembic_version")
    for one in (holder, other):
        await one.close()
    await databases.drop(name)

    assert version == history("assessment")[0]
    assert max(waits) < 0.15


V6 = "assessment_0006"
"""The next one changes `dead_letter`."""


async def test_lock_that_never_comes_ends_the_migration_and_leaves_what_was_there(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "LOCK_TIMEOUT", "50ms")
    monkeypatch.setattr(migrations, "LOCK_PAUSES", (0.05,))
    name, url = await databases.empty()
    first = migrations.run_on(url, lambda one: migrations.upgrade("assessment", one, to=V6))
    await asyncio.to_thread(asyncio.run, first)
    holder = await asyncpg.connect(url)
    async with holder.transaction():
        _ = await holder.fetch("SELECT * FROM dead_letter")
        with pytest.raises(Exception, match="lock timeout"):
            await upgrade(url)
    version = await holder.fetchval("SELECT version_num FROM alembic_version")
    await holder.close()
    await databases.drop(name)

    assert version == V6


async def test_note_of_a_contraction_is_read_by_earlier_code(
    database: Database, connection: asyncpg.Connection
) -> None:
    await migrate_later(connection)
    noted = {"revision": LATER, "oldest_code": "assessment_9998", "unused_since": "0.3.0"}
    async with database.transaction() as session:
        _ = await session.execute(CONTRACT, noted)

    async with database.engine.connect() as one:
        found = await one.run_sync(lambda sync: read_schema("assessment", sync))

    assert found == (LATER, Fit.CONTRACTED)
