"""A statement that the migrated database does not understand is found where it stands."""

import pytest
from sqlalchemy import text

from deploy.checks.statements import Statement, sql_of, statements, unprepared
from deploy.embedded import SERVICES
from deploy.source.files import ROOT, source_files
from shared.database.direct import command
from tests.conftest import Databases

pytestmark = pytest.mark.xdist_group("gates")


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ("SELECT nmae FROM upload", "nmae"),
        ("SELECT id FROM uplaod", "uplaod"),
        ("UPDATE upload SET ownr = 'x'", "ownr"),
        ("INSERT INTO upload (id, digset) VALUES ($1, $2)", "digset"),
        ("SELECT lenght(owner) FROM upload", "lenght"),
        ("SELECT id FROM upload WHERE size = 'x'::text", "operator does not exist"),
    ],
)
async def test_misspelt_statement_is_named(databases: Databases, sql: str, named: str) -> None:
    name, url = await databases.fresh("cases")

    found = await unprepared(url, [Statement("services/cases/planted.py", 3, "PLANTED", sql)])
    await databases.drop(name)

    assert len(found) == 1
    assert found[0].startswith("services/cases/planted.py:3: PLANTED: ")
    assert named in found[0]


def test_constants_that_are_whole_statements_count() -> None:
    assert sql_of(command("SELECT 1 WHERE :a = 1")) == "SELECT 1 WHERE $1 = 1"
    assert sql_of(text("DELETE FROM upload")) == "DELETE FROM upload"
    assert sql_of("SELECT id FROM upload WHERE id = $1") is not None
    assert sql_of(text("state = 'published'")) is None
    assert sql_of("SELECT {columns} FROM upload") is None
    assert sql_of(3) is None


def test_every_service_has_statements_to_check() -> None:
    for service in SERVICES:
        files = source_files(ROOT, [f"services/{service}"])
        assert [statement for source in files for statement in statements(source)]
