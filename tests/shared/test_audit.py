"""The audit trail is chained, and a changed, removed or inserted row is found."""

import asyncio

import pytest
from sqlalchemy import text

from shared import context
from shared.context import Context
from shared.database import audit
from shared.database.audit import Sealer, verify
from shared.database.session import Database
from tests.conftest import DatabaseFactory


async def a_trail(database: Database, rows: int) -> None:
    for number in range(rows):
        with context.using(Context(actor="officer", request_id=f"request-{number}")):
            async with database.transaction() as session:
                audit.record(
                    session,
                    "case.accept",
                    object_type="case",
                    object_id=number,
                    reason="complete",
                    step=number,
                    name="受理",
                )


async def sealed(database: Database) -> int:
    connection = await database.connect()
    try:
        return await Sealer(database).seal_batch(connection)
    finally:
        await connection.close()


async def test_sealed_trail_verifies(database_of: DatabaseFactory) -> None:
    database = await database_of("assessment")
    await a_trail(database, 5)
    _ = await sealed(database)
    await a_trail(database, 2)
    linked = await sealed(database)
    await a_trail(database, 1)
    connection = await database.connect()

    verdict = await verify(connection, batch=3)
    await connection.close()

    assert (linked, verdict.sealed, verdict.unsealed, verdict.broken_at) == (2, 7, 1, None)


INSERTED = (
    "UPDATE audit SET sequence = 7 WHERE sequence = 6;"
    " INSERT INTO audit SELECT gen_random_uuid(), at, 'intruder', on_behalf_of, action,"
    " object_type, object_id, reason,"
    " detail, request_id, 6, previous_hash, hash FROM audit WHERE sequence = 7"
)


@pytest.mark.parametrize(
    ("tampering", "broken_at"),
    [
        ("UPDATE audit SET reason = 'another' WHERE sequence = 3", 3),
        ("UPDATE audit SET detail = '{}' WHERE sequence = 2", 2),
        ("DELETE FROM audit WHERE sequence = 4", 4),
        ("UPDATE audit SET previous_hash = hash WHERE sequence = 5", 5),
        (INSERTED, 6),
    ],
)
async def test_tampering_breaks_the_chain_where_it_happened(
    database_of: DatabaseFactory, tampering: str, broken_at: int
) -> None:
    database = await database_of("assessment")
    await a_trail(database, 6)
    _ = await sealed(database)
    connection = await database.connect()
    _ = await connection.execute(tampering)

    verdict = await verify(connection)
    await connection.close()

    assert verdict.broken_at == broken_at


async def test_only_one_sealer_links_at_a_time(database_of: DatabaseFactory) -> None:
    database = await database_of("assessment")
    await a_trail(database, 2)
    holder = await database.connect()
    transaction = holder.transaction()
    await transaction.start()
    _ = await holder.fetchval("SELECT pg_advisory_xact_lock($1)", audit.SEAL_LOCK)

    while_held = await sealed(database)
    await transaction.commit()
    afterwards = await sealed(database)
    await holder.close()

    assert (while_held, afterwards) == (0, 2)


async def test_command_tells_a_whole_chain_from_a_broken_one(
    database_of: DatabaseFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    database = await database_of("assessment")
    monkeypatch.setenv("ASSESSMENT_DATABASE_URL", database.dsn)
    await a_trail(database, 3)
    _ = await sealed(database)

    whole = await asyncio.to_thread(audit.main, ["verify", "assessment"])
    connection = await database.connect()
    _ = await connection.execute("UPDATE audit SET actor = 'another' WHERE sequence = 2")
    await connection.close()
    broken = await asyncio.to_thread(audit.main, ["verify", "assessment"])
    unknown = audit.main(["repair", "assessment"])

    assert (whole, broken, unknown) == (0, 1, 2)
    assert capsys.readouterr().out.splitlines() == [
        "assessment: whole; 3 linked, 0 not linked yet",
        "assessment: BROKEN at number 2; 1 linked, 0 not linked yet",
    ]


async def test_sealer_outlives_a_row_that_it_cannot_read(database_of: DatabaseFactory) -> None:
    database = await database_of("assessment")
    await a_trail(database, 2)
    too_deep = "UPDATE audit SET detail = CAST(repeat('[', 2000) || repeat(']', 2000) AS jsonb)"
    async with database.transaction() as session:
        _ = await session.execute(text(too_deep))
    sealing = asyncio.create_task(Sealer(database).run())

    await asyncio.sleep(0.3)
    async with database.transaction() as session:
        _ = await session.execute(text("UPDATE audit SET detail = '{}'"))
    connection = await database.connect()
    async with asyncio.timeout(10):
        while (await verify(connection)).unsealed and not sealing.done():
            await asyncio.sleep(0.1)
    verdict = await verify(connection)
    await connection.close()
    _ = sealing.cancel()

    assert (verdict.sealed, verdict.unsealed) == (2, 0)
