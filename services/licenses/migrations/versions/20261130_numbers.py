"""Numbers and positions of facts, and the log of those that were published."""

from alembic import op

from shared.database.migrations import create_platform_tables_v3

revision = "licenses_0005"
down_revision = "licenses_0004"


def upgrade() -> None:
    create_platform_tables_v3(op)  # pyright: ignore[reportArgumentType]
