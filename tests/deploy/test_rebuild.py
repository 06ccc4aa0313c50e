"""`tongban rebuild` makes a read model anew, and never loses what is not published."""

import asyncpg
import pytest

from deploy.operate.rebuild import UnpublishedFactsError, rebuild
from shared.messaging import outbox
from tests.builders.events import a_fact
from tests.conftest import DatabaseFactory

MARK = "CREATE TABLE old_one (n int)"
OLD = "SELECT to_regclass('old_one') IS NOT NULL"


async def ask(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_read_model_is_replaced_by_an_empty_one(database_of: DatabaseFactory) -> None:
    database = await database_of("assessment")
    _ = await ask(database.dsn, MARK)

    await rebuild("assessment", database.dsn)

    assert await ask(database.dsn, OLD) is False
    assert await ask(database.dsn, "SELECT count(*) FROM inbox_group") == 1


@pytest.mark.parametrize("place", ["outbox", "numbered"])
async def test_facts_that_are_not_published_are_not_lost(
    database_of: DatabaseFactory, place: str
) -> None:
    database = await database_of("assessment")
    _ = await ask(database.dsn, MARK)
    if place == "outbox":
        async with database.transaction() as session:
            outbox.add(session, a_fact())
    else:
        _ = await ask(database.dsn, "INSERT INTO relay_position VALUES ('t', 0, 0, 3, 0, 2)")

    with pytest.raises(UnpublishedFactsError, match="1 facts"):
        await rebuild("assessment", database.dsn, patience=0.3)

    assert await ask(database.dsn, OLD) is True
