"""A known value under each key, by which a wrong key is noticed."""

from alembic import op

from shared.database.migrations import create_key_check

revision = "licenses_0007"
down_revision = "licenses_0006"


def upgrade() -> None:
    create_key_check(op)  # pyright: ignore[reportArgumentType]
