"""First tables of licenses."""

from alembic import op

from shared.database.migrations import ground_v1, ground_v2

revision = "licenses_0001"
down_revision = None


def upgrade() -> None:
    ground_v1(op)
    ground_v2(op)


def downgrade() -> None:
    op.drop_table("inbox_group")
