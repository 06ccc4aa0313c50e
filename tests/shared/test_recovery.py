"""A producer's database is restored to an earlier moment, and goes on in a new epoch of numbers."""

import io
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from deploy.operate.recover import NothingToRecoverError, list_lost, start_epoch, table
from services.cases.applications.model import CaseSerial
from shared import clock
from shared.database.serials import SerialAllocator, serial_floor
from shared.database.session import Database
from shared.messaging import outbox
from shared.messaging.bus import FactNumber
from shared.messaging.fact_log import RefusedError
from tests.builders.events import a_fact
from tests.conftest import DatabaseFactory, Databases, a_database
from tests.shared.test_positions import KEYS, TOPIC, Pair, lose_topic
from tests.shared.test_positions import pair as pair


@asynccontextmanager
async def copy_of(databases: Databases, database: Database) -> AsyncGenerator[Database]:
    """The database as it is now, to be put in its place later."""
    name = f"copy_{uuid4().hex[:12]}"
    await database.close()  # A template has no connections.
    source = database.dsn.rpartition("/")[2]
    await databases._execute(f"CREATE DATABASE {name} TEMPLATE {source} STRATEGY file_copy")
    restored = a_database(databases.postgres.dsn(name))
    try:
        yield restored
    finally:
        await restored.close()
        await databases.drop(name)


async def rows(database: Database, statement: str) -> list[Any]:
    async with database.reading() as session:
        return list(await session.execute(text(statement)))


async def test_restored_producer_is_refused_told_what_it_lacks_and_goes_on(
    pair: Pair, databases: Databases, database_of: DatabaseFactory
) -> None:
    pair.keys = KEYS[:3]
    await pair.publish(2)
    await pair.relay()
    # One fact is committed and not published yet when the copy is made.
    async with pair.producer.transaction() as session:
        await outbox.add_many(session, [a_fact(KEYS[0], revision=3)])
    async with copy_of(databases, pair.producer) as restored:
        async with pair.producer.transaction() as session:
            await outbox.add_many(session, [a_fact(key, revision=3) for key in KEYS[1:3]])
        await pair.relay()
        pair.published = 3
        await pair.publish(1)
        await pair.relay()
        async with pair.consuming():
            await pair.wait_for_all()

        pair.producer = restored
        with pytest.raises(RefusedError):
            await pair.relay()
        file = io.BytesIO()
        lost, number = await list_lost(restored, pair.bus, service="identity", to=file)
        lines = [orjson.loads(line) for line in file.getvalue().splitlines()]

        # Of each key the fourth, and of two of them the third; that of the first is not lost.
        assert number == len(lost) == len(lines) == 5
        assert sorted(line["event"]["data"]["revision"] for line in lines) == [3, 3, 4, 4, 4]
        assert [line["event_id"] for line in lines] == [fact.event_id for fact in lost]
        assert lost[0].event_id in table(lost)

        begun = await start_epoch(restored, pair.bus, service="identity", reason="disk lost")
        assert (begun.epoch, begun.adopted) == (1, 6)
        with pytest.raises(NothingToRecoverError):
            _ = await start_epoch(restored, pair.bus, service="identity", reason="again")
        await pair.publish(2)
        await pair.relay()
        await pair.publish(1)
        await pair.relay()

        async with pair.consuming():
            await pair.assert_each_once()
        state = await rows(restored, "SELECT refused FROM relay_state")
        assert state[0].refused is None
        audited = await rows(restored, "SELECT reason, detail FROM audit")
        assert [(row.reason, row.detail["adopted"]) for row in audited] == [("disk lost", 6)]
        numbers = await rows(restored, "SELECT key, event_number FROM fact_log")
        assert len(set(numbers)) == len(numbers) == 3 * pair.published
        await lose_topic_and_fill_it_again(pair, database_of)


async def lose_topic_and_fill_it_again(pair: Pair, database_of: DatabaseFactory) -> None:
    """The facts that the restore had lost are in the log, too, and come before the new epoch."""
    await lose_topic(pair.bus)
    await pair.relay()
    async with pair.bus.reader() as reader:
        found = (await reader.newest(TOPIC, await pair.bus.partitions(TOPIC))).values()
        for record in found:
            first = await reader.read(record.place, 0, limit=1000)
            begins = [one for one in first if one.number == FactNumber(1, 1)]
            before = [one.number for one in first if one.number and one.number.epoch == 0]
            assert [one.follows for one in begins] == [max(before)]
    other = await database_of("assessment")
    async with other.transaction() as session:
        _ = await session.execute(
            text("CREATE TABLE effect (position bigserial, account text, revision int, number int)")
        )
    newcomer = Pair(pair.bus, pair.producer, other, pair.published, keys=pair.keys)
    async with newcomer.consuming():
        await newcomer.assert_each_once()


NOON = datetime(2026, 3, 10, 12, 0, tzinfo=clock.SHANGHAI)
DAY = NOON.date()


@given(
    st.lists(
        st.one_of(st.integers(min_value=1, max_value=30), st.sampled_from(["copy", "restore"])),
        min_size=3,
        max_size=8,
    )
)
@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@pytest.mark.anyio
async def test_no_serial_number_is_given_twice_however_often_a_database_is_restored(
    cases: Database, acts: list[int | str]
) -> None:
    code = uuid4().hex
    given_out: list[int] = []
    copy, now = 0, NOON
    await go_back(cases, code, last=0, now=NOON.replace(hour=0))
    for act in acts:
        now += timedelta(minutes=1)
        if act == "copy":
            found = await rows(cases, f"SELECT last FROM case_serial WHERE code = '{code}'")
            copy = found[0].last if found else 0
        elif act == "restore":
            await go_back(cases, code, last=copy, now=now)
        else:
            numbers = SerialAllocator(cases, CaseSerial)
            given_out += [await numbers.allocate(code, DAY) for _ in range(int(act))]
            await numbers.close()

    assert len(set(given_out)) == len(given_out)


@pytest.fixture
async def cases(database_of: DatabaseFactory) -> Database:
    return await database_of("cases")


async def go_back(database: Database, code: str, *, last: int, now: datetime) -> None:
    """The counter as it was, and what a new epoch sets."""
    floor = {"floor": serial_floor(now), "day": DAY, "code": code, "last": last}
    async with database.transaction() as session:
        _ = await session.execute(text("DELETE FROM case_serial WHERE code = :code"), floor)
        if last:
            insert = text("INSERT INTO case_serial (code, day, last) VALUES (:code, :day, :last)")
            _ = await session.execute(insert, floor)
        _ = await session.execute(
            text("UPDATE relay_state SET serial_floor = :floor, serial_floor_until = :day"), floor
        )


async def test_serial_numbers_of_later_days_begin_at_one(cases: Database) -> None:
    await go_back(cases, "A", last=0, now=NOON)
    numbers = SerialAllocator(cases, CaseSerial)

    found = [await numbers.allocate("A", DAY), await numbers.allocate("A", DAY + timedelta(days=1))]
    await numbers.close()

    assert found == [72_100_001, 1]
