"""First tables of ratings: invitations and ratings."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from shared.database.migrations import create_platform_tables_v1, create_platform_tables_v2

revision = "ratings_0001"
down_revision = None

STAMP = sa.DateTime(timezone=True)


def _service_event() -> list[sa.Column[object]]:
    return [
        sa.Column("stage", sa.Text, nullable=False),
        sa.Column("case_id", sa.Uuid),
        sa.Column("case_number", sa.Text),
        sa.Column("service_number", sa.SmallInteger, nullable=False),
        sa.Column("area_code", sa.Text, nullable=False),
        sa.Column("department_code", sa.Text, nullable=False),
        sa.Column("matter_id", sa.Uuid),
        *(sa.Column(name, sa.Text) for name in ("matter_code", "matter_name", "hall", "window")),
        sa.Column("account_id", sa.Uuid),
    ]


def upgrade() -> None:
    create_platform_tables_v1(op)
    create_platform_tables_v2(op)
    op.create_table(
        "invitation",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        *_service_event(),
        sa.Column("visit", sa.Text),
        sa.Column("contact_name", sa.LargeBinary),
        sa.Column("phone", sa.LargeBinary),
        sa.Column("token_hash", sa.Text, nullable=False),
        sa.Column("invited_at", STAMP, nullable=False),
        sa.Column("open_until", sa.Date, nullable=False),
        sa.Column("rated_at", STAMP),
        sa.PrimaryKeyConstraint("id", name="pk_invitation"),
        sa.UniqueConstraint("case_number", "service_number", name="uq_invitation_service_event"),
        sa.UniqueConstraint("visit", name="uq_invitation_visit"),
        sa.UniqueConstraint("token_hash", name="uq_invitation_token_hash"),
    )
    op.create_table(
        "rating",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("invitation_id", sa.Uuid, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        *_service_event(),
        sa.Column("grade", sa.SmallInteger, nullable=False),
        sa.Column("tags", ARRAY(sa.Text), nullable=False),
        sa.Column("dictionary", sa.Text, nullable=False),
        sa.Column("contents", JSONB, nullable=False),
        sa.Column("text", sa.LargeBinary),
        sa.Column("masked_text", sa.Text),
        sa.Column("pf", sa.Text, nullable=False),
        sa.Column("sub_channel", sa.Text, nullable=False),
        sa.Column("terminal", sa.Text),
        sa.Column("real_name", sa.Boolean, nullable=False),
        sa.Column("suspicions", ARRAY(sa.Text), nullable=False),
        sa.Column("supplements", JSONB, nullable=False),
        sa.Column("rated_at", STAMP, nullable=False),
        sa.Column("rated_on", sa.Date, nullable=False),
        sa.Column("excluded_on", sa.Date),
        sa.Column("excluded_reason", sa.Text),
        sa.Column("published_on", sa.Date),
        sa.PrimaryKeyConstraint("id", name="pk_rating"),
        sa.UniqueConstraint("invitation_id", name="uq_rating_invitation_id"),
    )


def downgrade() -> None:
    op.drop_table("rating")
    op.drop_table("invitation")
    op.drop_table("inbox_group")
