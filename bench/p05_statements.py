"""P5: statements per read and per create, counted by PostgreSQL itself (`log_statement = all`).

The cases app alone works on its database, in this process and without a worker, so that every line
is the request's.
"""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import uvloop

from bench.harness import Figure, Options, at_most, run, scratch
from bench.stack_fixture import StackFixture, open_stack_fixture
from deploy.postgres import EmbeddedPostgres

STATEMENT = re.compile(r"LOG:  (?:statement|execute [^:]+): (.*)")
FRAME = re.compile(r"(BEGIN|START|COMMIT|ROLLBACK|SAVEPOINT|RELEASE)", re.IGNORECASE)
TIMES = 5


class Statements:
    """The statements that PostgreSQL has logged since the last question."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._read = 0

    def take(self) -> list[str]:
        content = self._log.read_text(encoding="utf-8", errors="replace")
        new, self._read = content[self._read :], len(content)
        return STATEMENT.findall(new)


@asynccontextmanager
async def listening(fixture: StackFixture, log: Path) -> AsyncGenerator[Statements]:
    """From here on every statement on the cases database is logged."""
    await fixture.log_statements()
    statements = Statements(log)
    _ = statements.take()
    yield statements


async def _counted(postgres: EmbeddedPostgres, folder: Path) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    async with (
        open_stack_fixture(postgres, folder) as fixture,
        listening(fixture, folder / "postgres.log") as statements,
    ):
        case = await fixture.apply()
        wanted = {
            "create": fixture.apply,
            "read": lambda: fixture.get(f"/files/{case['id']}", fixture.citizen),
            "work list": lambda: fixture.get("/work-list?limit=100", fixture.clerk),
        }
        for name, act in wanted.items():
            for _ in range(2):
                _ = await act()
            _ = statements.take()
            for _ in range(TIMES):
                _ = await act()
            await asyncio.sleep(0.2)
            found[name] = Counter(statements.take())
    return found


def measure(_options: Options) -> Sequence[Figure]:
    with scratch() as folder, EmbeddedPostgres(folder / "postgres") as postgres:
        postgres.create_databases(["tongban_cases"])
        found = uvloop.run(_counted(postgres, folder))
    counts = {name: list(all_.elements()) for name, all_ in found.items()}
    real = {name: sum(not FRAME.match(s) for s in all_) / TIMES for name, all_ in counts.items()}
    for name, statements in found.items():
        for statement, number in statements.items():
            print(f"    {name:<10} {number / TIMES:>4.1f} × {statement[:100]}")
    return [
        at_most("statements per read", real["read"], "", 3, 1),
        at_most("statements per create", real["create"], "", 8, 5),
        Figure("statements per page of the work list", real["work list"], ""),
        *(
            Figure(f"with BEGIN and COMMIT: {name}", len(all_) / TIMES, "")
            for name, all_ in counts.items()
        ),
    ]


if __name__ == "__main__":
    run("P5", "statements per read and create, from PostgreSQL's own log", measure)
