"""Every SQL statement in a constant can be prepared on the migrated database of its service.

PostgreSQL then knows each table, column and function in it. A statement is a `Direct`, a `text(…)`
that begins with an SQL verb, another statement of SQLAlchemy, or a string with `$1` for the
driver. What is composed inside a function is not seen.
"""

import ast
import asyncio
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import cast

import asyncpg
from sqlalchemy import TextClause
from sqlalchemy.sql.base import Executable
from sqlalchemy.sql.elements import ClauseElement

from deploy.checks.databases import migrated
from deploy.source.files import ROOT, SourceFile, source_files
from shared.database.direct import DIALECT, Direct
from shared.messaging import local_bus

VERB = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b")
SERVICE_OF_SHARED = "cases"
"""The tables of `shared` are in every service's database; one of them is enough."""


@dataclass(frozen=True)
class Statement:
    """SQL with `$1`, `$2` …, and the constant that holds it."""

    file: str
    line: int
    name: str
    sql: str


def sql_of(value: object) -> str | None:
    """The SQL of a constant, or None when it is no whole statement."""
    if isinstance(value, Direct):
        return value.sql
    if isinstance(value, str):
        return value if VERB.match(value) and "$1" in value else None
    if isinstance(value, ClauseElement) and isinstance(value, Executable):
        sql = str(value.compile(dialect=DIALECT))
        # `text("state = 'published'")` is a condition, for an index or a query.
        return sql if not isinstance(value, TextClause) or VERB.match(sql) else None
    return None


def statements(source: SourceFile) -> Iterator[Statement]:
    """The statements of one module, in the order of its lines."""
    values = vars(import_module(source.module))
    for node in source.tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets:
            if not isinstance(target, ast.Name):
                continue
            for value in _held(values.get(target.id)):
                sql = sql_of(value)
                if sql is not None:
                    yield Statement(source.name, node.lineno, target.id, sql)


def _held(value: object) -> Sequence[object]:
    """A constant, or what a dict, list or tuple of them holds."""
    if isinstance(value, dict):
        return list(cast("dict[object, object]", value).values())
    if isinstance(value, list | tuple):
        return cast("Sequence[object]", value)
    return [value]


async def unprepared(url: str, found: Sequence[Statement]) -> list[str]:
    """`file:line: name: what the database says` of each statement that it refuses."""
    faults: list[str] = []
    connection = await asyncpg.connect(url)
    try:
        _ = await connection.execute(local_bus.SCHEMA)
        for statement in found:
            try:
                _ = await connection.prepare(statement.sql)
            except asyncpg.PostgresError as error:
                faults.append(f"{statement.file}:{statement.line}: {statement.name}: {error}")
    finally:
        await connection.close()
    return faults


def statement_faults(urls: dict[str, str]) -> Iterator[str]:
    """Check each service on its own database, and `shared` on one of them."""
    for service, url in urls.items():
        files = source_files(ROOT, [f"services/{service}"])
        if service == SERVICE_OF_SHARED:
            files += source_files(ROOT, ["shared"])
        found = [statement for source in files for statement in statements(source)]
        yield from asyncio.run(unprepared(url, found))


def main() -> int:
    with migrated() as urls:
        faults = list(statement_faults(urls))
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
