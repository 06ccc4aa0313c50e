"""办件编号: every number once, also over a connection that was lost.

Allocations do not wait for each other's commits.
"""

import asyncio
from datetime import date

import pytest

from services.cases.applications.model import CaseSerial
from shared.database.serials import SerialAllocator
from shared.database.session import Database
from shared.errors import UnavailableError
from tests.conftest import DatabaseFactory

DAY = date(2026, 3, 10)


async def taken(numbers: SerialAllocator, times: int, code: str = "A") -> list[int]:
    return await asyncio.gather(*(numbers.allocate(code, DAY) for _ in range(times)))


async def test_hundred_at_once_from_two_processes_get_a_number_each(
    database_of: DatabaseFactory,
) -> None:
    database = await database_of("cases")
    here, there = SerialAllocator(database, CaseSerial), SerialAllocator(database, CaseSerial)

    first, second, other = await asyncio.gather(
        taken(here, 50), taken(there, 50), taken(here, 3, code="B")
    )
    await here.close()
    await there.close()

    assert sorted([*first, *second]) == list(range(1, 101))
    assert other == [1, 2, 3]


async def test_lost_connection_is_made_anew(database_of: DatabaseFactory) -> None:
    database = await database_of("cases")
    numbers = SerialAllocator(database, CaseSerial)
    before = await numbers.allocate("A", DAY)
    connection = await database.connect()
    _ = await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await connection.close()

    after = await numbers.allocate("A", DAY)
    await numbers.close()

    assert (before, after) == (1, 2)


async def test_database_away_is_told_to_every_waiting_caller() -> None:
    away = Database("postgresql://nobody@127.0.0.1:1/nothing", data_key=b"k" * 32)
    numbers = SerialAllocator(away, CaseSerial)

    answers = await asyncio.gather(
        *(numbers.allocate("A", DAY) for _ in range(3)), return_exceptions=True
    )

    assert [type(answer) for answer in answers] == [UnavailableError] * 3


async def test_caller_who_left_does_not_stop_the_others(database_of: DatabaseFactory) -> None:
    numbers = SerialAllocator(await database_of("cases"), CaseSerial)
    leaving = asyncio.create_task(numbers.allocate("A", DAY))
    await asyncio.sleep(0)
    _ = leaving.cancel()

    stayed = await numbers.allocate("A", DAY)
    await numbers.close()

    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert stayed in {1, 2}
