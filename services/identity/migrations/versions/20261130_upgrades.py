"""What tells of contractions, and of the processes that run."""

from alembic import op

from shared.database.schema import create_upgrade_tables

revision = "identity_0007"
down_revision = "identity_0006"


def upgrade() -> None:
    create_upgrade_tables(op)  # pyright: ignore[reportArgumentType]
