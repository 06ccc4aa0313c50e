"""A known value under each key, by which a wrong key is noticed."""

from alembic import op

from shared.database.migrations import create_key_check

revision = "cases_0018"
down_revision = "cases_0017"


def upgrade() -> None:
    create_key_check(op)  # pyright: ignore[reportArgumentType]
