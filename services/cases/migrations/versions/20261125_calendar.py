"""The calendar's version and its changes.

By the version every process knows when to read the calendar again; due dates follow its changes.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "cases_0005"
down_revision = "cases_0004"

STAMP = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "calendar_version",
        sa.Column("version", sa.Uuid, nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_calendar_version"),
    )
    op.execute("INSERT INTO calendar_version VALUES (gen_random_uuid())")
    op.create_table(
        "calendar_change",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("days", JSONB, nullable=False),
        sa.Column("changed_by", sa.Text, nullable=False),
        sa.Column("changed_at", STAMP, nullable=False),
        sa.Column("passes", sa.SmallInteger, nullable=False),
        sa.Column("reached", sa.Uuid, nullable=False),
        sa.Column("moved", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_calendar_change"),
    )
    unfinished = sa.text("passes < 2")
    op.create_index(
        "ix_calendar_change_unfinished", "calendar_change", ["id"], postgresql_where=unfinished
    )


def downgrade() -> None:
    op.drop_table("calendar_change")
    op.drop_table("calendar_version")
