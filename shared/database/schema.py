"""Whether a schema and this code fit together, and the note by which later code tells earlier.

A schema at or above what the code needs is fine, because migrations only add while earlier code may
run. A migration that takes something away notes the oldest code that does without it (`contract`).
Code knows the revisions of its own history and no later ones, so it can do without when the noted
revision is in its history (docs/adr/0022).
"""

from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection

ROOT = Path(__file__).resolve().parents[2]
UPGRADE_TABLES = """
CREATE TABLE schema_contraction (
    revision text NOT NULL, oldest_code text NOT NULL, unused_since text NOT NULL,
    contracted_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_schema_contraction PRIMARY KEY (revision)
);
CREATE TABLE running_process (
    id uuid NOT NULL, name text NOT NULL, version text NOT NULL, revision text NOT NULL,
    consumes jsonb NOT NULL, produces jsonb NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(), seen_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_running_process PRIMARY KEY (id)
)
"""
CONTRACTIONS_EXIST = sa.text("SELECT to_regclass('schema_contraction') IS NOT NULL")
CONTRACTIONS = sa.text("SELECT oldest_code FROM schema_contraction")
CONTRACT = sa.text(
    "INSERT INTO schema_contraction (revision, oldest_code, unused_since)"
    " VALUES (:revision, :oldest_code, :unused_since)"
)


class Fit(StrEnum):
    """How a database's schema stands to this code."""

    EQUAL = "equal"
    NEWER = "newer"
    """A later release added to it; this code works with it."""
    CONTRACTED = "contracted"
    """A later release took something away that this code may use."""
    BEHIND = "behind"
    """It must be migrated before this code can use it."""

    @property
    def usable(self) -> bool:
        return self in {Fit.EQUAL, Fit.NEWER}


class Schema(NamedTuple):
    """The revision of a database (None: it has no tables yet), and how it fits this code."""

    revision: str | None
    fit: Fit


def config_of(service: str) -> Config:
    """Alembic's configuration for a service's migrations."""
    config = Config()
    config.set_main_option("script_location", str(ROOT / "services" / service / "migrations"))
    config.set_main_option("file_template", "%%(year)d%%(month).2d%%(day).2d_%%(slug)s")
    return config


@lru_cache
def history(service: str) -> tuple[str, ...]:
    """The revisions that this code knows, newest first."""
    scripts = ScriptDirectory.from_config(config_of(service))
    return tuple(script.revision for script in scripts.walk_revisions())


def read_schema(service: str, connection: Connection) -> Schema:
    """The schema of the service's database beside this code."""
    known = history(service)
    revision = MigrationContext.configure(connection).get_current_revision()
    if revision == known[0]:
        return Schema(revision, Fit.EQUAL)
    if revision is None or revision in known:
        return Schema(revision, Fit.BEHIND)
    # Releases that could not tell (before 0.2) wrote no revision that this code does not know.
    if not connection.scalar(CONTRACTIONS_EXIST):
        return Schema(revision, Fit.CONTRACTED)
    for oldest_code in connection.scalars(CONTRACTIONS):
        if oldest_code not in known:
            return Schema(revision, Fit.CONTRACTED)
    return Schema(revision, Fit.NEWER)


def contract(op: Operations, revision: str, *, oldest_code: str, unused_since: str) -> None:
    """Note in a migration that it takes away what earlier code uses; called in its `upgrade`.

    Args:
        revision: of the migration itself.
        oldest_code: newest revision of the oldest code that does without it: code whose history
            has it is ready on this schema, earlier code is not.
        unused_since: the release of that code.
    """
    noted = CONTRACT.bindparams(
        revision=revision, oldest_code=oldest_code, unused_since=unused_since
    )
    op.execute(noted)


def create_upgrade_tables(op: Operations) -> None:
    """What tells of contractions, and of the processes that run (docs/adr/0022)."""
    for statement in UPGRADE_TABLES.split(";"):
        op.execute(statement)
