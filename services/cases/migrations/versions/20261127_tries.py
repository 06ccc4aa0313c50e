"""Counts of tries that wait for no disk."""

from alembic import op

revision = "cases_0012"
down_revision = "cases_0011"


def upgrade() -> None:
    op.execute("ALTER TABLE tracking_tries SET UNLOGGED")
