"""Budget of tries to track a case without signing in."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import BYTEA

revision = "cases_0006"
down_revision = "cases_0005"


def upgrade() -> None:
    op.create_table(
        "tracking_tries",
        sa.Column("key", BYTEA, nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_tracking_tries"),
    )
    op.create_index("ix_tracking_tries_since", "tracking_tries", ["since"])


def downgrade() -> None:
    op.drop_table("tracking_tries")
