"""First tables of assessment."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from shared.database.migrations import create_platform_tables_v1

revision = "assessment_0001"
down_revision = None

CASE_DAYS = (
    "submitted_on",
    "received_on",
    "accepted_on",
    "not_accepted_on",
    "decided_on",
    "closed_on",
)


def upgrade() -> None:
    create_platform_tables_v1(op)
    place = [sa.Column(name, sa.Text, nullable=False) for name in ("area_code", "department_code")]
    days = [sa.Column(name, sa.Date) for name in (*CASE_DAYS, "withdrawn_on", "delivered_on")]
    flags = [
        sa.Column(name, sa.Boolean, nullable=False) for name in ("immediate", "deemed", "overdue")
    ]
    op.create_table(
        "case_record",
        sa.Column("case_id", sa.Uuid, nullable=False),
        *place,
        *days,
        *flags,
        sa.PrimaryKeyConstraint("case_id", name="pk_case_record"),
    )
    op.create_table(
        "matter_record",
        sa.Column("matter_id", sa.Uuid, nullable=False),
        sa.Column("area_code", sa.Text, nullable=False),
        sa.Column("department_code", sa.Text, nullable=False),
        sa.Column("published", sa.Boolean, nullable=False),
        sa.Column("level", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("matter_id", name="pk_matter_record"),
    )
    op.create_table(
        "day_count",
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("area_code", sa.Text, nullable=False),
        sa.Column("department_code", sa.Text, nullable=False),
        sa.Column("measure", sa.Text, nullable=False),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint(
            "day", "area_code", "department_code", "measure", name="pk_day_count"
        ),
    )
    op.create_index("ix_day_count_stock", "day_count", ["measure", "day"])
    op.create_table(
        "daily_report",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("figures", JSONB, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("published_by", sa.Text, nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_daily_report"),
        sa.UniqueConstraint("day", "revision", name="uq_daily_report_day_revision"),
    )


def downgrade() -> None:
    for table in ("daily_report", "day_count", "matter_record", "case_record"):
        op.drop_table(table)
