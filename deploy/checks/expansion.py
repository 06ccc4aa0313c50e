"""Migrations since the last release only add, and hold up nobody (docs/adr/0022).

While a release is rolled out, the code of the release before it still runs. So each new migration
is run on a database of the last release, and the catalogue is compared before and after. What is
compared is what the database then is, not how the migration is written.

A migration that takes something away must note the release that stopped using it
(`shared.database.schema.contract`), and that release must be out.
"""

import asyncio
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection

from deploy.released import open_release
from deploy.versions import KEPT_DATA, kept_releases
from shared.database import migrations
from shared.database.schema import history

SMALL = frozenset(
    {"alembic_version", "inbox_group", "relay_state", "relay_position", "inbox_position"}
)
"""Tables of a few rows: whatever is done to them takes a moment."""
# Partitions change with the table that they are part of.
TABLES = sa.text(
    "SELECT relname AS name, relfilenode::text AS file FROM pg_class"
    " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition"
)
COLUMNS = sa.text(
    "SELECT relname AS table, attname AS name, format_type(atttypid, atttypmod) AS type,"
    "  attnotnull AS required,"
    "  atthasdef OR attidentity <> '' OR attgenerated <> '' AS filled"
    " FROM pg_attribute JOIN pg_class c ON c.oid = attrelid"
    " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition"
    "  AND attnum > 0 AND NOT attisdropped"
)
RULES = sa.text(
    "SELECT conrelid::regclass::text AS table, conname AS name, contype::text AS kind,"
    "  convalidated AS validated"
    " FROM pg_constraint WHERE connamespace = 'public'::regnamespace"
    "  AND contype IN ('c', 'f', 'u', 'p', 'x') AND conrelid <> 0"
)
INDEXES = sa.text(
    "SELECT indrelid::regclass::text AS table, indexrelid::regclass::text AS name,"
    "  indisunique AS is_unique FROM pg_index JOIN pg_class c ON c.oid = indexrelid"
    " WHERE relnamespace = 'public'::regnamespace"
)
NOTED = sa.text(
    "SELECT unused_since, oldest_code FROM schema_contraction WHERE revision = :revision"
)
CONCURRENT = re.compile(r"INDEX\s+CONCURRENTLY\s+(?:IF\s+NOT\s+EXISTS\s+)?\"?(\w+)", re.IGNORECASE)
WHOLE_TABLE = re.compile(r"\s*(?:UPDATE|DELETE\s+FROM)\s+(?:ONLY\s+)?\"?(\w+)", re.IGNORECASE)


class Column(NamedTuple):
    """A column, and whether it takes a row that does not name it."""

    type: str
    required: bool
    filled: bool


class Rule(NamedTuple):
    """A constraint or a unique index."""

    table: str
    kind: str
    validated: bool


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What a database has."""

    tables: dict[str, str]
    """The file of each table: another one after a rewrite."""
    columns: dict[tuple[str, str], Column]
    rules: dict[str, Rule]
    indexes: dict[str, str]
    """The table of each index."""


def read_catalogue(connection: Connection) -> Catalogue:
    """What the database has now."""
    tables = {row.name: row.file for row in connection.execute(TABLES)}
    indexes = {row.name: row.table for row in connection.execute(INDEXES)}
    return Catalogue(tables, _read_columns(connection), _read_rules(connection), indexes)


def _read_columns(connection: Connection) -> dict[tuple[str, str], Column]:
    columns: dict[tuple[str, str], Column] = {}
    for row in connection.execute(COLUMNS):
        columns[row.table, row.name] = Column(row.type, row.required, row.filled)
    return columns


def _read_rules(connection: Connection) -> dict[str, Rule]:
    rules: dict[str, Rule] = {}
    for row in connection.execute(RULES):
        rules[row.name] = Rule(row.table, row.kind, row.validated)
    for row in connection.execute(INDEXES):
        if row.is_unique and row.name not in rules:
            rules[row.name] = Rule(row.table, "unique index", validated=True)
    return rules


@dataclass(slots=True)
class Change:
    """One migration: the catalogue before and after it, and what it executed."""

    before: Catalogue
    after: Catalogue
    statements: list[str] = field(default_factory=list[str])

    def contractions(self, released: Collection[str]) -> Iterator[str]:
        """What code of the last release cannot work with, in the tables that it has."""
        for table in sorted(released):
            if table in self.before.tables and table not in self.after.tables:
                yield f"drops or renames table {table}"
        yield from self._changed_columns(released)
        yield from self._new_columns(released)
        for name, rule in self._new_rules(released):
            yield f"adds rule {name} to table {rule.table}"

    def _changed_columns(self, released: Collection[str]) -> Iterator[str]:
        for (table, name), old in self.before.columns.items():
            if table not in released or table not in self.after.tables:
                continue
            new = self.after.columns.get((table, name))
            if new is None:
                yield f"drops or renames column {table}.{name}"
            else:
                yield from _column_changes(f"{table}.{name}", old, new=new)

    def _new_columns(self, released: Collection[str]) -> Iterator[str]:
        for (table, name), new in self.after.columns.items():
            is_new = table in released and (table, name) not in self.before.columns
            if is_new and new.required and not new.filled:
                yield f"adds {table}.{name}, which is NOT NULL without a default"

    def _new_rules(self, released: Collection[str]) -> Iterator[tuple[str, Rule]]:
        for name, rule in self.after.rules.items():
            if rule.table in released and name not in self.before.rules:
                yield name, rule

    def locks(self, released: Collection[str]) -> Iterator[str]:
        """What makes requests wait for longer than a moment."""
        busy = set(released) - SMALL
        for table in sorted(busy & set(self.after.tables)):
            if self.before.tables.get(table, "") != self.after.tables[table]:
                yield f"rewrites table {table}"
        for statement in self.statements:
            changed = WHOLE_TABLE.match(statement)
            if changed is not None and changed[1] in busy:
                yield f"changes rows of table {changed[1]}: do so in small steps, in a timer"
        for name in self._slow_indexes(busy):
            yield f"makes index {name} without CONCURRENTLY (`autocommit_block`)"
        for name, rule in self._new_rules(busy):
            if rule.kind in {"c", "f"} and rule.validated:
                yield f"adds rule {name} without NOT VALID: validate it in a migration of its own"

    def _slow_indexes(self, busy: Collection[str]) -> Iterator[str]:
        """New indexes that were made while writers had to wait."""
        concurrent: set[str] = set()
        for statement in self.statements:
            concurrent.update(CONCURRENT.findall(statement))
        for name, table in self.after.indexes.items():
            if table in busy and name not in self.before.indexes and name not in concurrent:
                yield name


def _column_changes(named: str, old: Column, *, new: Column) -> Iterator[str]:
    if new.type != old.type:
        yield f"changes the type of {named} from {old.type} to {new.type}"
    if new.required and not old.required:
        yield f"forbids nulls in {named}"
    if new.required and old.filled and not new.filled:
        yield f"takes the default of {named}"


def observe(connection: Connection, work: Callable[[Connection], None]) -> Change:
    """Run `work` on a connection outside a transaction, and tell what it did."""
    statements: list[str] = []

    def note(*arguments: object) -> None:  # called by SQLAlchemy with six
        statements.append(str(arguments[2]))

    with connection.begin():
        before = read_catalogue(connection)
    event.listen(connection, "before_cursor_execute", note)
    try:
        work(connection)
    finally:
        event.remove(connection, "before_cursor_execute", note)
    with connection.begin():
        after = read_catalogue(connection)
    return Change(before, after, statements)


class Release(NamedTuple):
    """The newest revision of a release for one service."""

    version: str
    revision: str


def releases_of(service: str) -> list[Release]:
    """All releases that keep data, oldest first."""
    found: list[Release] = []
    for version in kept_releases(KEPT_DATA):
        contents = open_release(KEPT_DATA / str(version)).contents_of(service)
        found.append(Release(str(version), contents.revision))
    return found


def _note_faults(
    connection: Connection, revision: str, *, releases: Sequence[Release], found: Sequence[str]
) -> Iterator[str]:
    """The contractions that are not covered by a note that is right."""
    with connection.begin():
        # A database of a release before 0.2 has no such table yet.
        noted = None
        if "schema_contraction" in read_catalogue(connection).tables:
            noted = connection.execute(NOTED, {"revision": revision}).one_or_none()
    if noted is None:
        for fault in found:
            yield f"{fault}: code of release {releases[-1].version} still runs beside it"
        return
    if Release(noted.unused_since, noted.oldest_code) not in releases:
        yield (
            f"contracts what release {noted.unused_since} stopped using, up to revision"
            f" {noted.oldest_code}: no release with that revision is out"
        )


def service_faults(
    service: str, connection: Connection, *, releases: Sequence[Release]
) -> Iterator[str]:
    """Run the migrations since the last release on an empty database, one by one."""
    last = releases[-1].revision
    migrations.upgrade(service, connection, to=last)
    with connection.begin():
        released = frozenset(read_catalogue(connection).tables)
    known = list(reversed(history(service)))
    for revision in known[known.index(last) + 1 :]:

        def migrate(one: Connection, to: str = revision) -> None:
            migrations.upgrade(service, one, to=to)

        change = observe(connection, migrate)
        found = list(change.contractions(released))
        faults = [
            *_note_faults(connection, revision, releases=releases, found=found),
            *change.locks(released),
        ]
        for fault in faults:
            yield f"migration {revision} {fault}"


def expansion_faults(urls: dict[str, str]) -> Iterator[str]:
    """The faults of every service; `urls` are empty databases."""
    for service, url in urls.items():
        releases = releases_of(service)
        if releases:

            def check(connection: Connection, of: str = service) -> list[str]:
                return list(service_faults(of, connection, releases=releases_of(of)))

            yield from asyncio.run(migrations.run_on(url, check))
