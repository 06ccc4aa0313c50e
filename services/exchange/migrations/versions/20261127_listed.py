"""Reconciliations that compare the lists too."""

import sqlalchemy as sa
from alembic import op

revision = "exchange_0004"
down_revision = "exchange_0003"


def upgrade() -> None:
    op.add_column(
        "reconciliation", sa.Column("listed", sa.Boolean, nullable=False, server_default=sa.false())
    )
    op.alter_column("reconciliation", "listed", server_default=None)
