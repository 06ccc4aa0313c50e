"""What tells of contractions, and of the processes that run."""

from alembic import op

from shared.database.schema import create_upgrade_tables

revision = "assessment_0008"
down_revision = "assessment_0007"


def upgrade() -> None:
    create_upgrade_tables(op)  # pyright: ignore[reportArgumentType]
