"""Recovery after a restore, and facts of a type that are given later."""

from alembic import op

from shared.database.migrations import create_platform_tables_v4

revision = "exchange_0009"
down_revision = "exchange_0008"


def upgrade() -> None:
    create_platform_tables_v4(op)  # pyright: ignore[reportArgumentType]
