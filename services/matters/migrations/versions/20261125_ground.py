"""The inbox reads under a name that belongs to its database."""

from alembic import op

from shared.database.migrations import create_platform_tables_v2

revision = "matters_0002"
down_revision = "matters_0001"


def upgrade() -> None:
    create_platform_tables_v2(op)


def downgrade() -> None:
    op.drop_table("inbox_group")
