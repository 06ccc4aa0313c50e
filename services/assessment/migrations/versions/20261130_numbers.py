"""Numbers and positions of facts, and the log of those that were published."""

from alembic import op

from shared.database.migrations import create_platform_tables_v3

revision = "assessment_0007"
down_revision = "assessment_0006"


def upgrade() -> None:
    create_platform_tables_v3(op)  # pyright: ignore[reportArgumentType]
