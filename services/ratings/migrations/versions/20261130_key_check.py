"""A known value under each key, by which a wrong key is noticed."""

from alembic import op

from shared.database.migrations import create_key_check

revision = "ratings_0011"
down_revision = "ratings_0010"


def upgrade() -> None:
    create_key_check(op)  # pyright: ignore[reportArgumentType]
