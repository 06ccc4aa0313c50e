"""Guess limits: the look-up that counts, its refusal, and the window."""

from datetime import timedelta
from typing import NamedTuple

import pytest
from sqlalchemy import LargeBinary, bindparam, column, select, values

from services.cases.case_file.model.tracking import TrackingTries
from shared import clock
from shared.database.guess_limits import Guess, GuessLimit, LimitedLookup, forget_guesses
from shared.errors import TooManyRequestsError
from tests.conftest import DatabaseFactory

LIMIT = GuessLimit(window=timedelta(minutes=10), per_address=3, per_number=2)


class Found(NamedTuple):
    number: bytes


_KNOWN = values(column("number", LargeBinary), name="known").data([(b"A",), (b"B",)])
LOOKUP = LimitedLookup(
    select(_KNOWN.c.number).where(_KNOWN.c.number == bindparam("wanted", type_=LargeBinary)),
    TrackingTries,
    row=Found,
)


async def test_lookup_counts_by_number_and_address(database_of: DatabaseFactory) -> None:
    database = await database_of("cases")
    now = clock.now()

    async def look(number: str, address: str, minutes: int = 0) -> list[Found]:
        guess = Guess(number, address, LIMIT, now + timedelta(minutes=minutes))
        async with database.reading() as session:
            return list(await LOOKUP.find(session, guess, wanted=number.encode()))

    assert await look("A", "one") == [Found(b"A")]
    assert await look("X", "one") == []
    assert await look("A", "two") == [Found(b"A")]
    with pytest.raises(TooManyRequestsError) as by_number:
        _ = await look("A", "three")
    assert await look("B", "one") == [Found(b"B")]
    with pytest.raises(TooManyRequestsError) as by_address:
        _ = await look("Y", "one")

    assert by_number.value.headers == by_address.value.headers == {"Retry-After": "600"}
    assert await look("A", "one", minutes=11) == [Found(b"A")]

    async with database.transaction() as session:
        await forget_guesses(session, TrackingTries, before=now + timedelta(minutes=1))
    connection = await database.connect()
    left = await connection.fetchval(f"SELECT count(*) FROM {TrackingTries.__tablename__}")
    await connection.close()
    assert left == 2
