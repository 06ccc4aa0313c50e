"""Alembic for every service: one history per service and database, run under a lock time-out.

Commands: `python -m shared.database.migrations upgrade SERVICE…` and `… check SERVICE…` (the models
equal the migrations); `SERVICE` needs `<SERVICE>_DATABASE_URL` in the environment.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import MetaData
from sqlalchemy.dialects.postgresql import BYTEA, JSONB
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from shared.city import read_city
from shared.database.address import driver_arguments, engine_url
from shared.database.schema import Fit, config_of, read_schema
from shared.domain.workdays import seeding

LOCK_TIMEOUT = "2s"
"""How long a migration waits for a lock: while it waits, all later requests wait behind it."""
LOCK_PAUSES = (0.5, 1.0, 2.0, 5.0, 5.0, 10.0, 10.0, 20.0)
"""Seconds before each further attempt to get the locks."""
LOCK_NOT_AVAILABLE = "55P03"
NOTIFY_OUTBOX = """
CREATE FUNCTION notify_outbox() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_notify('outbox', ''); RETURN NULL; END $$;
"""
OUTBOX_TRIGGER = """
CREATE TRIGGER outbox_written AFTER INSERT ON outbox
FOR EACH STATEMENT EXECUTE FUNCTION notify_outbox();
"""
# Rows live for milliseconds: without an eager vacuum the relay would read through dead ones.
BUSY_TABLE = (
    "ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0,"
    " autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0)"
)


def metadata_of(service: str) -> list[MetaData]:
    """The tables of a service and the platform tables, each as SQLAlchemy metadata.

    Imports every module of the service whose path has a part `model` or `model_base`, because a
    table is known only once its class has been defined.
    """
    from shared.database.tables import PlatformBase

    package = import_module(f"services.{service}")
    found: list[MetaData] = []
    for module in walk_packages(package.__path__, f"{package.__name__}."):
        parts = module.name.split(".")
        if "migrations" in parts or not {"model", "model_base"} & set(parts):
            continue
        base = getattr(import_module(module.name), "Base", None)
        if base is not None and base.metadata not in found:
            found.append(base.metadata)
    return [*found, PlatformBase.metadata]


def run_env(service: str) -> None:
    """Body of every `migrations/env.py`: migrate over the connection given by `upgrade`.

    Each migration is a transaction of its own, so that its locks are held for as short as can be,
    and so that one may leave its transaction (`autocommit_block`, for CREATE INDEX CONCURRENTLY).
    """
    from alembic import context

    connection: Connection = context.config.attributes["connection"]
    context.configure(
        connection=connection,
        target_metadata=metadata_of(service),
        compare_type=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


class UnknownVersionError(RuntimeError):
    """The database was migrated by code that is newer than this; the text says what to do."""


def upgrade(service: str, connection: Connection, *, to: str = "head") -> None:
    """Bring the database to the newest version of this service's tables, or to the revision `to`.

    A database that a later release migrated is left as it is, if this code can use it. A lock that
    does not come in time is tried for again, for about a minute.

    Args:
        connection: outside a transaction.

    Raises:
        UnknownVersionError: a later release took away what this code uses.
    """
    with connection.begin():
        found = read_schema(service, connection)
        # For all transactions of this connection.
        _ = connection.execute(sa.text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
    if found.fit is Fit.CONTRACTED:
        raise UnknownVersionError(
            f"the database of {service} is at version {found.revision}, which this code does not"
            " know: a newer Tongban wrote it, and took away what this one needs."
            " Start that version again, or restore a backup made before it."
        )
    if found.fit is Fit.NEWER:
        return
    config = config_of(service)
    config.attributes["connection"] = connection
    for pause in LOCK_PAUSES:
        try:
            command.upgrade(config, to)
            return
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                raise
            _ = sys.stderr.write(f"{service}: a table is locked; again in {pause} s\n")
            time.sleep(pause)
    command.upgrade(config, to)


def drift(service: str, connection: Connection) -> list[Any]:
    """Differences between the models and the migrated database; empty when they agree."""
    metadata = metadata_of(service)
    partitioned: list[str] = []
    for one in metadata:
        for table in one.tables.values():
            if table.dialect_options["postgresql"]["partition_by"]:
                partitioned.append(f"{table.name}_")
    divided = tuple(partitioned)

    def is_ours(  # noqa: PLR0917 - called by Alembic
        _object: Any, name: str | None, kind: str, reflected: bool, _compared: Any
    ) -> bool:
        """Partitions belong to the migrations and have no models."""
        return not (kind == "table" and reflected and divided and (name or "").startswith(divided))

    context = MigrationContext.configure(
        connection, opts={"compare_type": True, "include_object": is_ours}
    )
    return list(compare_metadata(context, metadata))  # pyright: ignore[reportArgumentType]


async def run_on(url: str, work: Any, *arguments: Any) -> Any:
    """Run `work(*arguments, connection)` over a connection of its own.

    The connection is outside a transaction: what `work` writes, it writes in its own.
    """
    engine = create_async_engine(
        engine_url(url), poolclass=NullPool, connect_args={**driver_arguments(url)}
    )
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(lambda sync: work(*arguments, sync))
    finally:
        await engine.dispose()


def create_platform_tables_v1(op: Operations) -> None:
    """Create the tables of `shared.database.tables`, first version."""
    now = sa.text("now()")
    stamp = sa.DateTime(timezone=True)
    _ = op.create_table(
        "outbox",
        sa.Column("position", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("event_id", sa.Uuid, nullable=False),
        sa.Column("payload", BYTEA, nullable=False),
        sa.Column(
            "recorded_at", stamp, nullable=False, server_default=sa.text("clock_timestamp()")
        ),
        sa.PrimaryKeyConstraint("position", name="pk_outbox"),
    )
    _ = op.create_table(
        "inbox",
        sa.Column("event_id", sa.Uuid, nullable=False),
        sa.Column("handled_at", stamp, nullable=False, server_default=now),
        sa.PrimaryKeyConstraint("event_id", name="pk_inbox"),
    )
    _ = op.create_table(
        "dead_letter",
        sa.Column("position", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("event_id", sa.Uuid, nullable=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("payload", BYTEA, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("gave_up", sa.Boolean, nullable=False, server_default="false"),
        sa.Column("parked_at", stamp, nullable=False, server_default=now),
        sa.Column("next_attempt_at", stamp, nullable=False, server_default=now),
        sa.PrimaryKeyConstraint("position", name="pk_dead_letter"),
        sa.UniqueConstraint("event_id", name="uq_dead_letter_event_id"),
    )
    op.create_index("ix_dead_letter_key", "dead_letter", ["topic", "key", "position"])
    op.create_index(
        "ix_dead_letter_due",
        "dead_letter",
        ["next_attempt_at"],
        postgresql_where=sa.text("NOT gave_up"),
    )
    _ = op.create_table(
        "idempotency",
        sa.Column("caller", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("request_hash", BYTEA, nullable=False),
        sa.Column("status", sa.SmallInteger),
        sa.Column("headers", JSONB),
        sa.Column("body", BYTEA),
        sa.Column("created_at", stamp, nullable=False, server_default=now),
        sa.PrimaryKeyConstraint("caller", "key", name="pk_idempotency"),
    )
    op.create_index("ix_idempotency_created_at", "idempotency", ["created_at"])
    _ = op.create_table(
        "audit",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("at", stamp, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("on_behalf_of", sa.Text),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("object_type", sa.Text, nullable=False),
        sa.Column("object_id", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("detail", JSONB, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("sequence", sa.BigInteger),
        sa.Column("previous_hash", BYTEA),
        sa.Column("hash", BYTEA),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
        sa.UniqueConstraint("sequence", name="uq_audit_sequence"),
    )
    op.create_index(
        "ix_audit_unsealed", "audit", ["id"], postgresql_where=sa.text("sequence IS NULL")
    )
    op.create_index("ix_audit_object", "audit", ["object_type", "object_id", "at"])
    for statement in (NOTIFY_OUTBOX, OUTBOX_TRIGGER, BUSY_TABLE):
        op.execute(statement)


def create_platform_tables_v2(op: Operations) -> None:
    """The inbox's group belongs to the database (`shared.database.tables.InboxGroup`)."""
    _ = op.create_table(
        "inbox_group",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_inbox_group"),
    )
    op.execute("INSERT INTO inbox_group VALUES (gen_random_uuid())")


NUMBERS_AND_POSITIONS = """
CREATE TABLE fact_log (
    topic text NOT NULL, partition integer NOT NULL, epoch integer NOT NULL, number bigint NOT NULL,
    recorded_at timestamptz NOT NULL, sequence bigint NOT NULL, event_id uuid NOT NULL,
    key text NOT NULL, event_number bigint NOT NULL, payload bytea NOT NULL,
    CONSTRAINT pk_fact_log PRIMARY KEY (topic, partition, epoch, number, recorded_at)
) PARTITION BY RANGE (recorded_at);
-- For facts of a month that nobody made a partition for.
CREATE TABLE fact_log_rest PARTITION OF fact_log DEFAULT;
CREATE TABLE event_number (
    topic text NOT NULL, key text NOT NULL, number bigint NOT NULL,
    CONSTRAINT pk_event_number PRIMARY KEY (topic, key)
);
CREATE TABLE relay_position (
    topic text NOT NULL, partition integer NOT NULL, epoch integer NOT NULL, number bigint NOT NULL,
    sent_epoch integer NOT NULL, sent bigint NOT NULL,
    CONSTRAINT pk_relay_position PRIMARY KEY (topic, partition)
);
CREATE TABLE relay_state (
    one boolean NOT NULL DEFAULT true, epoch integer NOT NULL DEFAULT 0,
    sequence bigint NOT NULL DEFAULT 0, refused text, refill_from timestamptz,
    CONSTRAINT pk_relay_state PRIMARY KEY (one), CONSTRAINT ck_relay_state_one CHECK (one)
);
INSERT INTO relay_state DEFAULT VALUES;
CREATE TABLE inbox_position (
    topic text NOT NULL, partition integer NOT NULL, epoch integer NOT NULL, number bigint NOT NULL,
    next_offset bigint NOT NULL,
    CONSTRAINT pk_inbox_position PRIMARY KEY (topic, partition)
);
ALTER TABLE dead_letter ADD COLUMN event_number bigint NOT NULL DEFAULT 0;
-- A few rows that change with every batch: room on the page keeps their updates cheap.
ALTER TABLE relay_position SET (fillfactor = 20);
ALTER TABLE relay_state SET (fillfactor = 20);
ALTER TABLE inbox_position SET (fillfactor = 20)
"""


def create_platform_tables_v3(op: Operations) -> None:
    """Numbers and positions of facts (docs/adr/0019)."""
    for statement in NUMBERS_AND_POSITIONS.split(";"):
        op.execute(statement)


def create_key_check(op: Operations) -> None:
    """The known value of each key (docs/adr/0021)."""
    _ = op.create_table(
        "key_check",
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("sealed", BYTEA, nullable=False),
        sa.Column(
            "made_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.text("now()"),
        ),
        sa.PrimaryKeyConstraint("kind", name="pk_key_check"),
    )


RECOVERY_AND_CATCHING_UP = """
ALTER TABLE relay_state ADD COLUMN serial_floor integer NOT NULL DEFAULT 0,
    ADD COLUMN serial_floor_until date;
CREATE TABLE inbox_type (
    topic text NOT NULL, partition integer NOT NULL, type text NOT NULL,
    after_epoch integer NOT NULL, after_number bigint NOT NULL,
    until_epoch integer, until_number bigint,
    CONSTRAINT pk_inbox_type PRIMARY KEY (topic, partition, type, after_epoch, after_number)
);
CREATE TABLE give_again (
    topic text NOT NULL, partition integer NOT NULL, type text NOT NULL,
    since timestamptz NOT NULL, next_offset bigint NOT NULL DEFAULT 0,
    given bigint NOT NULL DEFAULT 0,
    CONSTRAINT pk_give_again PRIMARY KEY (topic, partition, type)
)
"""


def create_platform_tables_v4(op: Operations) -> None:
    """Recovery after a restore, and facts of a type that are given later (docs/adr/0019, 0020)."""
    for statement in RECOVERY_AND_CATCHING_UP.split(";"):
        op.execute(statement)


def _settings_url(service: str) -> str:
    from shared.settings import database_url

    return database_url(service)


def _calendar_of(service: str) -> Path | None:
    """The days with which the calendar of a new database begins."""
    from shared.settings import city_file

    file = city_file(service)
    if file is None:
        return None
    return read_city(file).calendar.seed


def main(arguments: Sequence[str]) -> int:
    """`upgrade SERVICE…` or `check SERVICE…`; status 1 when a check finds a difference."""
    if len(arguments) < 2 or arguments[0] not in {"upgrade", "check"}:
        _ = sys.stderr.write("usage: python -m shared.database.migrations upgrade|check SERVICE…\n")
        return 2
    verb, *services = arguments
    different = False
    for service in services:
        work = upgrade if verb == "upgrade" else drift
        with seeding(_calendar_of(service)):
            found = asyncio.run(run_on(_settings_url(service), work, service))
        for difference in found or ():
            different = True
            _ = sys.stderr.write(f"{service}: {difference}\n")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
