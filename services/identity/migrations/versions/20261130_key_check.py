"""A known value under each key, by which a wrong key is noticed."""

from alembic import op

from shared.database.migrations import create_key_check

revision = "identity_0008"
down_revision = "identity_0007"


def upgrade() -> None:
    create_key_check(op)  # pyright: ignore[reportArgumentType]
