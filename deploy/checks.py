"""What no tool off the shelf holds: nothing commits outside its home, and the models equal the migrated database.

`python -m deploy.checks` ends with status 1 and one line per fault. The database is a PostgreSQL of its own, gone afterwards.
"""

import ast
import asyncio
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from deploy.embedded import SERVICES
from deploy.postgres import EmbeddedPostgres
from shared.database import migrations

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("services", "shared", "gateway", "deploy")
MAY_COMMIT = {"shared/database/session.py", "shared/messaging/kafka.py", "deploy/checks.py"}
"""Transactions, the consumer's offsets, and this rule itself."""


def commits(root: Path = ROOT) -> Iterator[str]:
    """`file:line` of every commit outside its home, as an attribute of anything, by name or as SQL."""
    for path in sorted(path for part in PARTS for path in (root / part).rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if name not in MAY_COMMIT:
            yield from (
                f"{name}:{line}: only shared/database/session.py commits"
                for line in _commits(ast.parse(path.read_bytes()))
            )


def _commits(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        attribute = isinstance(node, ast.Attribute) and node.attr == "commit"
        word = isinstance(node, ast.Constant) and str(node.value).strip(" ;").upper() == "COMMIT"
        if isinstance(node, ast.expr) and (attribute or word):
            yield node.lineno


async def _drift(postgres: EmbeddedPostgres, service: str) -> list[str]:
    url = postgres.dsn(service)
    await migrations.run_on(url, migrations.upgrade, service)
    return [
        f"{service}: {found}" for found in await migrations.run_on(url, migrations.drift, service)
    ]


def drifts() -> Iterator[str]:
    """Every difference between a service's models and the database that its migrations make."""
    with tempfile.TemporaryDirectory(prefix="tongban-check-") as folder:
        fast = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        with EmbeddedPostgres(Path(folder) / "data", settings=fast) as postgres:
            postgres.create_databases(SERVICES)
            for service in SERVICES:
                yield from asyncio.run(_drift(postgres, service))


def main() -> int:
    faults = [*commits(), *drifts()]
    for fault in faults:
        _ = sys.stderr.write(f"{fault}\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
