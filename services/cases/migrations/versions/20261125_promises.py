"""Promised materials (容缺): until when the gap is filled."""

import sqlalchemy as sa
from alembic import op

revision = "cases_0007"
down_revision = "cases_0006"


def upgrade() -> None:
    op.add_column("case_file", sa.Column("gap_days", sa.SmallInteger))
    op.add_column("case_file", sa.Column("gap_due_on", sa.Date))


def downgrade() -> None:
    op.drop_column("case_file", "gap_due_on")
    op.drop_column("case_file", "gap_days")
