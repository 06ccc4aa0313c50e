"""Models against migrations, commits outside their home, contracts against code.

Any drift is found and named.
"""

import asyncpg
import pytest

from deploy.checks.transactions import commits
from deploy.embedded import SERVICES
from shared.database.migrations import drift, run_on
from tests.conftest import Databases
from tests.gates.conftest import Tree

pytestmark = pytest.mark.xdist_group("gates")

COMMITS = [
    "await session.commit()",
    "finish = session.commit",
    "await getattr(session, 'commit')()",
    "await session.execute('COMMIT;')",
]
TABLE = """

class Planted(Base):
    __tablename__ = "planted"
    id: Mapped[int] = mapped_column(primary_key=True)
"""


@pytest.mark.parametrize("line", COMMITS)
def test_commit_outside_its_home_is_found(tree: Tree, line: str) -> None:
    file = "services/matters/planted_commit.py"
    _ = (tree.root / file).write_text(f"async def finish(session):\n    {line}\n")

    assert list(commits(tree.root)) == [f"{file}:2: only shared/database/session.py commits"]


@pytest.mark.parametrize("service", SERVICES)
async def test_models_equal_the_migrated_database(databases: Databases, service: str) -> None:
    name, url = await databases.fresh(service)

    found = await run_on(url, drift, service)
    await databases.drop(name)

    assert found == []


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("ALTER TABLE case_file DROP COLUMN phone", "'phone'"),
        ("ALTER TABLE upload ADD COLUMN colour text", "colour"),
        ("ALTER TABLE upload ALTER COLUMN size TYPE text USING size::text", "modify_type"),
        ("ALTER TABLE upload ALTER COLUMN owner DROP NOT NULL", "modify_nullable"),
        ("DROP TABLE dead_letter", "dead_letter"),
        ("DROP INDEX ix_audit_object", "ix_audit_object"),
        ("CREATE TABLE stray (id int)", "stray"),
    ],
)
async def test_difference_of_the_database_is_named(
    databases: Databases, statement: str, named: str
) -> None:
    name, url = await databases.fresh("cases")
    connection = await asyncpg.connect(url)
    _ = await connection.execute(statement)
    await connection.close()

    found = await run_on(url, drift, "cases")
    await databases.drop(name)

    assert named in str(found)


def test_commands_name_every_drift(tree: Tree) -> None:
    written, _ = tree.run(
        "python", "-c", "import sys; from deploy import docs; sys.exit(docs.main([]))"
    )
    tree.plant(
        "services/cases/case_file/use_cases.py",
        "\n\nasync def keep(session):\n    await session.commit()\n",
    )
    tree.plant("services/matters/model/matter.py", TABLE)
    tree.plant(
        "services/assessment/router.py",
        '\n\n@router.get("/planted")\nasync def planted() -> None: ...\n',
    )
    tree.plant(
        "shared/events/cases.py",
        '\n\nclass Planted(CaseEvent, fact="planted"):\n    """A fact."""\n',
    )

    tree.plant("gateway/routes.py", "\n\nPLANTED = [[b for b in a] for a in ()]\n")
    tree.plant(
        "services/assessment/queries.py",
        '\n\nPLANTED = Direct("SELECT nmae FROM day_count", RevisionRow)\n',
    )
    with (tree.root / "deploy/checks/allowed.txt").open("a", encoding="utf-8") as allowed:
        _ = allowed.write("shared/clock.py::now nodes\n")

    checked, faults = tree.run("python", "-m", "deploy.checks")
    compared, drifted = tree.run("python", "-m", "deploy.docs", "--check")

    assert (written, checked, compared) == (0, 1, 1)
    assert "services/cases/case_file/use_cases.py:" in faults
    assert "matters: ('add_table'" in faults
    assert "<module>: a comprehension inside a comprehension" in faults
    assert 'PLANTED: column "nmae" does not exist' in faults
    assert "shared/clock.py::now nodes: this is in order now" in faults
    assert all(name in drifted for name in ("assessment.openapi.json", "events.asyncapi.json"))
    assert "cases.openapi.json" not in drifted
