"""A known value under each key, by which a wrong key is noticed."""

from alembic import op

from shared.database.migrations import create_key_check

revision = "assessment_0009"
down_revision = "assessment_0008"


def upgrade() -> None:
    create_key_check(op)  # pyright: ignore[reportArgumentType]
