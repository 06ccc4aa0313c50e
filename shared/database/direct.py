"""Statements of the hot paths: compiled once by SQLAlchemy, then given to the driver itself.

SQLAlchemy takes five times as long over a statement as the driver does (docs/adr/0014). Where that
decides what a request or an event costs, a statement is made `Direct`: written as always (`:name`,
or a Core construct), with the column types' own conversions, in the session's transaction and after
pending changes of entities have been flushed. The price: entities do not see what changes, a list
goes as an array (`= ANY(:ids)`, not `IN`), and errors are the driver's own
(`asyncpg.PostgresError`).
"""

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from functools import partial
from operator import itemgetter
from typing import Any, Generic, NamedTuple, TypeVar, cast

import asyncpg
import orjson
from sqlalchemy import text
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.elements import ClauseElement

from shared.database.session import driver_of, dump_json, flush

# A processor takes and gives whatever the column type and the driver exchange.
Processor = Callable[[Any], Any] | None
Changes = list[tuple[int, Callable[[Any], Any]]]
"""Places of values that have to be converted, and how."""
_Reader = tuple[Callable[[asyncpg.Record], Sequence[Any]], Changes]
R = TypeVar("R")

DIALECT = dialect(json_serializer=dump_json, json_deserializer=orjson.loads)


class NoRow(NamedTuple):
    """Row type of a statement that returns nothing."""


class Direct(Generic[R]):
    """A statement for the driver: SQL text with `:name` parameters, or a Core construct.

    `row` is a `NamedTuple` or a dataclass with one field for each returned column, in any order.
    Its values have the Python types that a Core construct (`select`, `text().columns()`) names,
    else the driver's own (JSON as text).
    """

    def __init__(self, statement: str | ClauseElement, row: type[R]) -> None:
        clause = text(statement) if isinstance(statement, str) else statement
        # SQLAlchemy's compiled form is untyped where it concerns bind parameters.
        compiled: Any = clause.compile(dialect=DIALECT)
        self.sql: str = compiled.string
        self.row = row
        self._fields = _field_names(row)
        self._make = _maker(row)
        binds = [(name, compiled.binds[name]) for name in compiled.positiontup]
        self._parameters: list[str] = list(compiled.positiontup)
        self._bind = _changes([_processor(bind.type, "bind") for _, bind in binds])
        self._constants = {name: bind.value for name, bind in binds if not bind.required}
        self._processors = _processors_of_columns(statement)
        self._reader: tuple[tuple[str, ...], _Reader] | None = None

    async def fetch(self, session: AsyncSession, **values: Any) -> Sequence[R]:
        """The rows; every parameter must be given, and no other is looked at.

        Raises `TypeError` when the columns are not the fields of the row type.
        """
        records = await self._run(session, values)
        if not records:
            return ()
        names = tuple(records[0].keys())
        if self._reader is None or self._reader[0] != names:
            self._reader = (names, self._reader_of(names))
        pick, changes = self._reader[1]
        rows: list[R] = []
        for record in records:
            cells: Sequence[Any] = pick(record)
            if changes:
                cells = list(cells)
                for place, process in changes:
                    cells[place] = process(cells[place])
            rows.append(self._make(cells))
        return rows

    def _reader_of(self, names: tuple[str, ...]) -> _Reader:
        """How cells are taken from the columns `names`. Raises: `TypeError`."""
        if set(names) != set(self._fields):
            raise TypeError(f"{self.row.__name__} has not the columns {', '.join(names)}")
        changes = _changes([self._processors.get(name) for name in self._fields])
        if names == self._fields:
            return tuple, changes
        return itemgetter(*(names.index(name) for name in self._fields)), changes

    async def first(self, session: AsyncSession, **values: Any) -> R | None:
        """The first row, or None."""
        rows = await self.fetch(session, **values)
        return rows[0] if rows else None

    async def execute(self, session: AsyncSession, **values: Any) -> None:
        """Run a statement for its effect alone."""
        _ = await self._run(session, values)

    async def _run(self, session: AsyncSession, values: dict[str, Any]) -> list[asyncpg.Record]:
        known = values | self._constants
        arguments = [known[name] for name in self._parameters]
        for place, process in self._bind:
            arguments[place] = process(arguments[place])
        await flush(session)
        driver = await driver_of(session)
        return await driver.fetch(self.sql, *arguments)


def command(statement: str | ClauseElement) -> Direct[NoRow]:
    """A direct statement that returns no rows."""
    return Direct(statement, NoRow)


def _field_names(row: type[Any]) -> tuple[str, ...]:
    if is_dataclass(row):
        return tuple(field.name for field in fields(row))
    return cast("tuple[str, ...]", row._fields)


def _maker(row: type[R]) -> Callable[[Sequence[Any]], R]:
    """Makes a row of its cells, which are in the order of the fields."""
    if is_dataclass(row):

        def make(cells: Sequence[Any]) -> R:
            return row(*cells)

        return make
    # Faster than the named tuple itself, which takes its fields as separate arguments.
    return cast("Callable[[Sequence[Any]], R]", partial(cast("Any", tuple).__new__, row))


def _processors_of_columns(statement: str | ClauseElement) -> dict[str, Processor]:
    columns: Any = getattr(statement, "selected_columns", ())
    return {column.key: _processor(column.type, "result") for column in columns}


def _changes(processors: Sequence[Processor]) -> Changes:
    """Most values need no conversion, so only the places of the others are kept."""
    return [(place, process) for place, process in enumerate(processors) if process is not None]


def _processor(kind: Any, way: str) -> Processor:
    """What turns a Python value into the driver's, or back; None when they are the same."""
    under = kind.dialect_impl(DIALECT)
    if way == "bind":
        return under.bind_processor(DIALECT)
    return under.result_processor(DIALECT, None)
