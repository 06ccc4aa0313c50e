"""Numbers and positions of facts, and the log of those that were published."""

from alembic import op

from shared.database.migrations import create_platform_tables_v3

revision = "ratings_0009"
down_revision = "ratings_0008"


def upgrade() -> None:
    create_platform_tables_v3(op)  # pyright: ignore[reportArgumentType]
