"""What tells of contractions, and of the processes that run."""

from alembic import op

from shared.database.schema import create_upgrade_tables

revision = "licenses_0006"
down_revision = "licenses_0005"


def upgrade() -> None:
    create_upgrade_tables(op)  # pyright: ignore[reportArgumentType]
