"""Recovery after a restore, and facts of a type that are given later."""

from alembic import op

from shared.database.migrations import create_platform_tables_v4

revision = "assessment_0010"
down_revision = "assessment_0009"


def upgrade() -> None:
    create_platform_tables_v4(op)  # pyright: ignore[reportArgumentType]
