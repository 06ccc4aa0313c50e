"""`tongban rebuild` makes a read model anew, and never loses what is not published."""

import asyncpg
import pytest

from deploy.operate.rebuild import TopicLacksFactsError, UnpublishedFactsError, rebuild
from shared.messaging import outbox
from shared.messaging.local_bus import LocalBus
from tests.builders.events import a_fact
from tests.conftest import DatabaseFactory, Databases
from tests.shared.test_positions import TOPIC

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


@pytest.mark.parametrize("lost", ["own", "taken"])
async def test_topic_that_lacks_what_the_database_notes_stops_the_rebuild(
    databases: Databases, database_of: DatabaseFactory, lost: str
) -> None:
    database = await database_of("assessment")
    _ = await ask(database.dsn, MARK)
    name, url = await databases.empty()
    bus = LocalBus(url)
    await bus.ensure_topics([TOPIC])
    connection = await database.connect()
    async with database.transaction() as session:
        await outbox.add_many(session, [a_fact(revision=n) for n in (1, 2, 3)])
    async with bus.publisher() as publisher:
        relay = outbox.Relay(database, bus, topic=TOPIC, rebuildable=True)
        _ = await (await relay.begin(connection, publisher)).publish_batch()
    await connection.close()
    place = f"'{TOPIC}', 0, 0"
    if lost == "taken":
        # Another service's topic in truth; how far it was taken is noted in the same way.
        _ = await ask(database.dsn, f"INSERT INTO inbox_position VALUES ({place}, 4, 4)")
    else:
        _ = await (await bus.pool()).execute("DELETE FROM bus_log WHERE log_offset = 1")

    with pytest.raises(TopicLacksFactsError, match=TOPIC):
        await rebuild("assessment", database.dsn, bus=bus)
    assert await ask(database.dsn, OLD) is True

    if lost == "taken":
        _ = await ask(database.dsn, "UPDATE inbox_position SET number = 3")
        await rebuild("assessment", database.dsn, bus=bus)
        assert await ask(database.dsn, OLD) is False
    await bus.close()
    await databases.drop(name)
