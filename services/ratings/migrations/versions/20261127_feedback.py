"""Tickets that were answered and never fed back are watched again."""

from alembic import op

revision = "ratings_0005"
down_revision = "ratings_0004"


def upgrade() -> None:
    op.execute(
        "UPDATE ticket SET watch_on = rectify_due_on + 1"
        " WHERE closed_on IS NULL AND state IN ('rectified', 'explained') AND feedback_on IS NULL"
    )
