"""What tells of contractions, and of the processes that run."""

from alembic import op

from shared.database.schema import create_upgrade_tables

revision = "cases_0017"
down_revision = "cases_0016"


def upgrade() -> None:
    create_upgrade_tables(op)  # pyright: ignore[reportArgumentType]
