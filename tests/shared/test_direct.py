"""Statements past SQLAlchemy keep the types that they name."""

from dataclasses import dataclass
from datetime import date
from typing import NamedTuple
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import ARRAY, Integer, Uuid, bindparam, literal, select, text, type_coerce
from sqlalchemy.dialects.postgresql import JSONB

from shared.database.direct import Direct
from shared.database.session import Database
from shared.security.crypto import Encrypted
from tests.conftest import DatabaseFactory

ONE, OTHER = UUID(int=1), UUID(int=2)


@pytest.fixture
async def database(database_of: DatabaseFactory) -> Database:
    return await database_of("assessment")


async def test_text_takes_parameters_by_name_and_gives_the_drivers_types(
    database: Database,
) -> None:
    class Day(NamedTuple):
        day: date
        twice: str

    statement = Direct(
        "SELECT CAST(:name AS text) || :name AS twice, CAST(:day AS date) AS day", Day
    )

    async with database.reading() as session:
        row = await statement.first(session, name="开", day=date(2026, 11, 27), ignored=1)

    assert (row.day, row.twice) == (date(2026, 11, 27), "开开")
    with pytest.raises(AttributeError, match="nothing"):
        _ = row.nothing


async def test_named_types_are_changed_on_both_ways(database: Database) -> None:
    class Told(NamedTuple):
        told: dict[str, list[str | None]]
        ids: list[UUID]
        plain: int

    statement = Direct(
        text("SELECT :told AS told, CAST(:ids AS uuid[]) AS ids, 1 AS plain")
        .bindparams(bindparam("told", type_=JSONB()), bindparam("ids", type_=ARRAY(Uuid())))
        .columns(told=JSONB()),
        Told,
    )

    async with database.reading() as session:
        (row,) = await statement.fetch(session, told={"名": ["a", None]}, ids=[ONE, OTHER])

    assert (row.told, row.ids, row.plain) == ({"名": ["a", None]}, [ONE, OTHER], 1)


async def test_constants_of_a_construct_need_not_be_given(database: Database) -> None:
    class Word(NamedTuple):
        word: str

    statement = Direct(
        select(literal("always").label("word"))
        .where(literal(3) > bindparam("least", type_=Integer()))
        .limit(1),
        Word,
    )

    async with database.reading() as session:
        found, none = [await statement.first(session, least=least) for least in (2, 3)]

    assert (found.word, none) == ("always", None)


async def test_sealed_values_are_opened_as_their_column_says(database: Database) -> None:
    sealed = Encrypted("test.column")

    class Name(NamedTuple):
        name: str

    class Raw(NamedTuple):
        name: bytes

    statement = Direct(
        select(type_coerce(bindparam("name", type_=sealed), sealed).label("name")), Name
    )

    async with database.reading() as session:
        row = await statement.first(session, name="卓玛")
        raw = await Direct("SELECT CAST(:name AS bytea) AS name", Raw).first(session, name=b"x")

    assert (row.name, raw.name) == ("卓玛", b"x")


async def test_nothing_found_is_none_and_a_missing_parameter_a_fault(database: Database) -> None:
    class One(NamedTuple):
        one: int

    statement = Direct("SELECT 1 AS one WHERE CAST(:never AS boolean)", One)

    async with database.reading() as session:
        assert await statement.first(session, never=False) is None
        with pytest.raises(KeyError, match="never"):
            _ = await statement.fetch(session)
        with pytest.raises(asyncpg.DataError):
            _ = await statement.fetch(session, never="no")


async def test_rows_of_a_dataclass_and_columns_that_are_not_its_fields(database: Database) -> None:
    @dataclass
    class Pair:
        first: int
        second: int = 0

    statement = Direct("SELECT 2 AS second, 1 AS first", Pair)
    other = Direct("SELECT 1 AS first, 2 AS third", Pair)

    async with database.reading() as session:
        assert await statement.first(session) == Pair(1, 2)
        with pytest.raises(TypeError, match="third"):
            _ = await other.fetch(session)
