"""Counts of tries that wait for no disk."""

from alembic import op

revision = "licenses_0003"
down_revision = "licenses_0002"


def upgrade() -> None:
    op.execute("ALTER TABLE check_tries SET UNLOGGED")
