"""Alembic for every service: one history per service and database, run under a lock time-out.

Commands: `python -m shared.database.migrations upgrade SERVICE…` and `… check SERVICE…` (the models
equal the migrations); `SERVICE` needs `<SERVICE>_DATABASE_URL` in the environment.
"""

import asyncio
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData
from sqlalchemy.dialects.postgresql import BYTEA, JSONB
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from shared.city import read_city
from shared.database.address import driver_arguments, engine_url
from shared.domain.workdays import seeding

ROOT = Path(__file__).resolve().parents[2]
LOCK_TIMEOUT = "5s"
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


def _config(service: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(ROOT / "services" / service / "migrations"))
    config.set_main_option("file_template", "%%(year)d%%(month).2d%%(day).2d_%%(slug)s")
    return config


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
    """Body of every `migrations/env.py`: migrate over the connection given by `upgrade`."""
    from alembic import context

    connection: Connection = context.config.attributes["connection"]
    context.configure(
        connection=connection, target_metadata=metadata_of(service), compare_type=True
    )
    with context.begin_transaction():
        _ = connection.execute(sa.text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
        context.run_migrations()


class UnknownVersionError(RuntimeError):
    """The database was migrated by code that is newer than this; the text says what to do."""


def upgrade(service: str, connection: Connection, *, to: str = "head") -> None:
    """Bring the database to the newest version of this service's tables, or to the revision `to`.

    Raises: `UnknownVersionError`.
    """
    config = _config(service)
    present = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if present is not None and present not in known:
        raise UnknownVersionError(
            f"the database of {service} is at version {present}, which this code does not know:"
            " a newer Tongban wrote it."
            " Start that version again, or restore a backup made before it."
        )
    config.attributes["connection"] = connection
    command.upgrade(config, to)


def is_current(service: str, connection: Connection) -> bool:
    """Whether the database is at the version that this code was written for."""
    head = ScriptDirectory.from_config(_config(service)).get_current_head()
    return MigrationContext.configure(connection).get_current_revision() == head


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
    """Run `work(*arguments, connection)` in one transaction over a connection of its own."""
    engine = create_async_engine(
        engine_url(url), poolclass=NullPool, connect_args={**driver_arguments(url)}
    )
    try:
        async with engine.begin() as connection:
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
