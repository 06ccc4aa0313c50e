"""What tells of contractions, and of the processes that run."""

from alembic import op

from shared.database.schema import create_upgrade_tables

revision = "exchange_0007"
down_revision = "exchange_0006"


def upgrade() -> None:
    create_upgrade_tables(op)  # pyright: ignore[reportArgumentType]
