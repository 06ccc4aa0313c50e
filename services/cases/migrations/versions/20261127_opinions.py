"""What reviewers wrote, sealed."""

import sqlalchemy as sa
from alembic import op

revision = "cases_0013"
down_revision = "cases_0012"


def upgrade() -> None:
    op.add_column("case_step", sa.Column("opinion", sa.LargeBinary))


def downgrade() -> None:
    op.drop_column("case_step", "opinion")
