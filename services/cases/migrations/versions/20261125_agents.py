"""Who acted for the applicant, in the timeline."""

import sqlalchemy as sa
from alembic import op

revision = "cases_0009"
down_revision = "cases_0008"


def upgrade() -> None:
    op.add_column("case_step", sa.Column("agent_id", sa.Text))


def downgrade() -> None:
    op.drop_column("case_step", "agent_id")
