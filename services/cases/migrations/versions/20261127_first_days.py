"""The first day of a licence, which may lie ahead."""

import sqlalchemy as sa
from alembic import op

revision = "cases_0014"
down_revision = "cases_0013"


def upgrade() -> None:
    op.add_column("license_copy", sa.Column("valid_from", sa.Date))


def downgrade() -> None:
    op.drop_column("license_copy", "valid_from")
