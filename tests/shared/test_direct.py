"""Statements past SQLAlchemy keep the types that they name."""

from datetime import date
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import ARRAY, Integer, Uuid, bindparam, literal, select, text, type_coerce
from sqlalchemy.dialects.postgresql import JSONB

from shared.database.direct import UntypedDirect
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
    statement = UntypedDirect(
        "SELECT CAST(:day AS date) AS day, CAST(:name AS text) || :name AS twice"
    )

    async with database.reading() as session:
        row = await statement.first(session, name="开", day=date(2026, 11, 27), ignored=1)

    assert (row.day, row.twice) == (date(2026, 11, 27), "开开")
    with pytest.raises(AttributeError, match="nothing"):
        _ = row.nothing


async def test_named_types_are_changed_on_both_ways(database: Database) -> None:
    statement = UntypedDirect(
        text("SELECT :told AS told, CAST(:ids AS uuid[]) AS ids, 1 AS plain")
        .bindparams(bindparam("told", type_=JSONB()), bindparam("ids", type_=ARRAY(Uuid())))
        .columns(told=JSONB())
    )

    async with database.reading() as session:
        (row,) = await statement.fetch(session, told={"名": ["a", None]}, ids=[ONE, OTHER])

    assert (row.told, row.ids, row.plain) == ({"名": ["a", None]}, [ONE, OTHER], 1)


async def test_constants_of_a_construct_need_not_be_given(database: Database) -> None:
    statement = UntypedDirect(
        select(literal("always").label("word"))
        .where(literal(3) > bindparam("least", type_=Integer()))
        .limit(1)
    )

    async with database.reading() as session:
        found, none = [await statement.first(session, least=least) for least in (2, 3)]

    assert (found.word, none) == ("always", None)


async def test_sealed_values_are_opened_as_their_column_says(database: Database) -> None:
    sealed = Encrypted("test.column")
    statement = UntypedDirect(
        select(type_coerce(bindparam("name", type_=sealed), sealed).label("name"))
    )

    async with database.reading() as session:
        row = await statement.first(session, name="卓玛")
        raw = await UntypedDirect("SELECT CAST(:name AS bytea) AS name").first(session, name=b"x")

    assert (row.name, raw.name) == ("卓玛", b"x")


async def test_nothing_found_is_none_and_a_missing_parameter_a_fault(database: Database) -> None:
    statement = UntypedDirect("SELECT 1 WHERE CAST(:never AS boolean)")

    async with database.reading() as session:
        assert await statement.first(session, never=False) is None
        with pytest.raises(KeyError, match="never"):
            _ = await statement.fetch(session)
        with pytest.raises(asyncpg.DataError):
            _ = await statement.fetch(session, never="no")
