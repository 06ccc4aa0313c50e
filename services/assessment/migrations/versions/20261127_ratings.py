"""Which bad ratings wait to be put right, for the stock of open ones."""

import sqlalchemy as sa
from alembic import op

revision = "assessment_0003"
down_revision = "assessment_0002"


def upgrade() -> None:
    op.create_table(
        "rating_record",
        sa.Column("subject_id", sa.Uuid, nullable=False),
        sa.Column("area_code", sa.Text, nullable=False),
        sa.Column("department_code", sa.Text, nullable=False),
        sa.Column("ticket_open", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("subject_id", name="pk_rating_record"),
    )


def downgrade() -> None:
    op.drop_table("rating_record")
