"""Recovery after a restore, and facts of a type that are given later."""

from alembic import op

from shared.database.migrations import create_platform_tables_v4

revision = "ratings_0012"
down_revision = "ratings_0011"


def upgrade() -> None:
    create_platform_tables_v4(op)  # pyright: ignore[reportArgumentType]
