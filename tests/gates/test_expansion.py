"""Migrations that would break or hold up the code of the last release are named."""

import asyncio
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from deploy.checks import expansion
from deploy.checks.expansion import Change, Release, observe, service_faults
from deploy.processes import SERVICES
from shared.database import migrations, schema
from tests.conftest import Databases

pytestmark = pytest.mark.xdist_group("gates")

RELEASED = frozenset({"day_count", "daily_report", "dead_letter", "relay_state"})

CONTRACTIONS = {
    "DROP TABLE daily_report CASCADE": "drops or renames table daily_report",
    "ALTER TABLE daily_report RENAME TO report": "drops or renames table daily_report",
    "ALTER TABLE day_count DROP COLUMN value": "drops or renames column day_count.value",
    "ALTER TABLE day_count RENAME value TO number": "drops or renames column day_count.value",
    "ALTER TABLE day_count ALTER value TYPE numeric": (
        "changes the type of day_count.value from bigint to numeric"
    ),
    "ALTER TABLE day_count ADD colour text; ALTER TABLE day_count ALTER colour SET NOT NULL": (
        "adds day_count.colour, which is NOT NULL without a default"
    ),
    "ALTER TABLE dead_letter ALTER attempts DROP DEFAULT": (
        "takes the default of dead_letter.attempts"
    ),
    "CREATE UNIQUE INDEX CONCURRENTLY uq_value ON day_count (value)": (
        "adds rule uq_value to table day_count"
    ),
    "ALTER TABLE day_count ADD CONSTRAINT ck_value CHECK (value > 7) NOT VALID": (
        "adds rule ck_value to table day_count"
    ),
}
LOCKS = {
    "CREATE INDEX ix_value ON day_count (value)": "makes index ix_value without CONCURRENTLY",
    "ALTER TABLE day_count ALTER value TYPE numeric": "rewrites table day_count",
    "ALTER TABLE day_count ADD COLUMN at timestamptz DEFAULT clock_timestamp()": (
        "rewrites table day_count"
    ),
    "ALTER TABLE day_count ADD CONSTRAINT ck_value CHECK (value > 7)": (
        "adds rule ck_value without NOT VALID"
    ),
    "UPDATE day_count SET value = value + 1": "changes rows of table day_count",
    "DELETE FROM ONLY day_count": "changes rows of table day_count",
    "TRUNCATE day_count": "rewrites table day_count",
}
ADDITIONS = [
    "CREATE TABLE colour (id int PRIMARY KEY)",
    "ALTER TABLE day_count ADD COLUMN colour text",
    "ALTER TABLE day_count ADD COLUMN colour text NOT NULL DEFAULT 'red'",
    "CREATE INDEX CONCURRENTLY ix_value ON day_count (value)",
    "ALTER TABLE dead_letter ALTER error DROP NOT NULL",
    "UPDATE relay_state SET sequence = sequence + 1",
    "ALTER TABLE relay_state ADD COLUMN at timestamptz DEFAULT clock_timestamp()",
    "ALTER TABLE case_record DROP COLUMN overdue",  # of no released table, in this test
]


@pytest.fixture
async def url(databases: Databases) -> AsyncGenerator[str]:
    name, url = await databases.fresh("assessment")
    yield url
    await databases.drop(name)


def changed(statements: str, connection: Connection) -> Change:
    def work(one: Connection) -> None:
        outside = one.execution_options(isolation_level="AUTOCOMMIT")
        for statement in statements.split("; "):
            _ = outside.execute(sa.text(statement))
        outside.rollback()  # ends what SQLAlchemy takes for a transaction; there is none

    return observe(connection, work)


async def change_of(url: str, statements: str) -> Change:
    work = migrations.run_on(url, changed, statements)
    return await asyncio.to_thread(asyncio.run, work)


@pytest.mark.parametrize("statement", CONTRACTIONS)
async def test_contraction_is_named(url: str, statement: str) -> None:
    change = await change_of(url, statement)

    assert CONTRACTIONS[statement] in list(change.contractions(RELEASED))


@pytest.mark.parametrize("statement", LOCKS)
async def test_lock_is_named(url: str, statement: str) -> None:
    change = await change_of(url, statement)

    assert any(fault.startswith(LOCKS[statement]) for fault in change.locks(RELEASED))


@pytest.mark.parametrize("statement", ADDITIONS)
async def test_addition_is_no_fault(url: str, statement: str) -> None:
    change = await change_of(url, statement)

    assert [*change.contractions(RELEASED), *change.locks(RELEASED)] == []


MIGRATION = """
from alembic import op

from shared.database.schema import contract

revision = "assessment_9999"
down_revision = "{before}"


def upgrade():
    {note}
    op.execute("ALTER TABLE day_count DROP COLUMN value")
"""
NOTES = {
    "pass": ["migration assessment_9999 drops or renames column day_count.value"],
    'contract(op, revision, oldest_code="assessment_0006", unused_since="0.1.0")': [],
    # The release that stops using it is not out yet.
    'contract(op, revision, oldest_code="assessment_9999", unused_since="0.2.0")': [
        "migration assessment_9999 contracts what release 0.2.0 stopped using"
    ],
    # Another revision than that release has.
    'contract(op, revision, oldest_code="assessment_0001", unused_since="0.1.0")': [
        "migration assessment_9999 contracts what release 0.1.0 stopped using"
    ],
}


@pytest.mark.parametrize("note", NOTES)
async def test_contraction_must_name_a_release_that_is_out(
    empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, note: str
) -> None:
    """A planted migration of assessment, behind the ones that it has."""
    newest = schema.history("assessment")[0]
    folder = tmp_path / "services/assessment/migrations"
    _ = shutil.copytree(schema.ROOT / "services/assessment/migrations", folder)
    planted = folder / "versions/20991231_planted.py"
    _ = planted.write_text(MIGRATION.format(before=newest, note=note))
    monkeypatch.setattr(schema, "ROOT", tmp_path)
    schema.history.cache_clear()
    releases = [Release("0.1.0", "assessment_0006")]

    def check(connection: Connection) -> list[str]:
        return list(service_faults("assessment", connection, releases=releases))

    try:
        work = migrations.run_on(empty_database, check)
        found = await asyncio.to_thread(asyncio.run, work)
    finally:
        schema.history.cache_clear()

    assert len(found) == len(NOTES[note])
    for fault, start in zip(found, NOTES[note], strict=True):
        assert fault.startswith(start)


def test_every_service_is_compared_with_its_last_release() -> None:
    for service in SERVICES:
        assert expansion.releases_of(service)[-1].revision in schema.history(service)
