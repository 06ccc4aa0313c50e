"""First tables of licenses."""

from alembic import op

from shared.database.migrations import create_platform_tables_v1, create_platform_tables_v2

revision = "licenses_0001"
down_revision = None


def upgrade() -> None:
    create_platform_tables_v1(op)
    create_platform_tables_v2(op)


def downgrade() -> None:
    op.drop_table("inbox_group")
