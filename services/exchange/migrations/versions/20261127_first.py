"""First tables of exchange."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from shared.database.migrations import create_platform_tables_v1, create_platform_tables_v2

revision = "exchange_0001"
down_revision = None


def upgrade() -> None:
    create_platform_tables_v1(op)
    create_platform_tables_v2(op)
    op.create_table(
        "peer",
        sa.Column("id", sa.Uuid, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("code", "name", "kind")),
        sa.Column("account_id", sa.Uuid),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("area_code", "department_code")),
        sa.Column("keys", JSONB, nullable=False),
        *(
            sa.Column(name, ARRAY(sa.Text), nullable=False)
            for name in ("event_types", "resources", "area_codes", "networks")
        ),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_peer"),
        sa.UniqueConstraint("code", name="uq_peer_code"),
        sa.UniqueConstraint("account_id", name="uq_peer_account_id"),
    )


def downgrade() -> None:
    op.drop_table("peer")
    op.drop_table("inbox_group")
