"""Statements of the hot paths: compiled once by SQLAlchemy, then given to the driver itself.

SQLAlchemy takes five times as long over a statement as the driver does (docs/adr/0014). Where that decides what a request
or an event costs, a statement is made `Direct`: written as always (`:name`, or a Core construct), with the column types' own
conversions, in the session's transaction and after what its entities have to write. The price: entities do not see what
changes, a list goes as an array (`= ANY(:ids)`, not `IN`), and errors are the driver's own (`asyncpg.PostgresError`).
"""

from collections import namedtuple
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import asyncpg
import orjson
from sqlalchemy import text
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.elements import ClauseElement

from shared.database.session import driver_of, flush

Processor = Callable[[Any], Any] | None

DIALECT = dialect(
    json_serializer=lambda value: orjson.dumps(value).decode(), json_deserializer=orjson.loads
)


class Row(asyncpg.Record):
    """A row whose columns are attributes too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Direct:
    """A statement for the driver: SQL text with `:name` parameters, or a Core construct (`select`, `text().columns()`).

    Its rows have their columns as attributes, in the Python types that the construct names, else in the driver's own (JSON
    as text).
    """

    def __init__(self, statement: str | ClauseElement) -> None:
        compiled: Any = (text(statement) if isinstance(statement, str) else statement).compile(
            dialect=DIALECT
        )
        self.sql: str = compiled.string
        binds = [(name, compiled.binds[name]) for name in compiled.positiontup]
        self._parameters = [(name, _processor(bind.type, "bind")) for name, bind in binds]
        self._constants = {name: bind.value for name, bind in binds if not bind.required}
        columns: Any = getattr(statement, "selected_columns", ())
        changes = {column.key: _processor(column.type, "result") for column in columns}
        self._changes = {name: change for name, change in changes.items() if change is not None}

    async def fetch(self, session: AsyncSession, **values: Any) -> Sequence[Any]:
        """The rows; every parameter must be given, and no other is looked at."""
        known = values | self._constants
        given = [
            known[name] if change is None else change(known[name])
            for name, change in self._parameters
        ]
        await flush(session)
        driver = await driver_of(session)
        rows = await driver.fetch(self.sql, *given, record_class=Row)
        return self._changed(rows) if rows and self._changes else rows

    def _changed(self, rows: Sequence[Row]) -> Sequence[Any]:
        names = tuple(rows[0].keys())
        changes = [self._changes.get(name) for name in names]
        changed: Any = _tuple(names)
        return [
            changed(
                *[
                    value if change is None else change(value)
                    for value, change in zip(row, changes, strict=True)
                ]
            )
            for row in rows
        ]

    async def first(self, session: AsyncSession, **values: Any) -> Any:
        """The first row, or None."""
        rows = await self.fetch(session, **values)
        return rows[0] if rows else None


def _processor(kind: Any, way: str) -> Processor:
    """What turns a Python value into the driver's, or back."""
    under = kind.dialect_impl(DIALECT)
    return under.bind_processor(DIALECT) if way == "bind" else under.result_processor(DIALECT, None)


@cache
def _tuple(names: tuple[str, ...]) -> Any:
    # Which columns there are is known at run time alone.
    return namedtuple("Changed", names)  # pyright: ignore[reportUntypedNamedTuple]
