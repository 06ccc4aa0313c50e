"""An index of stocks alone: two measures of forty."""

from alembic import op

revision = "assessment_0005"
down_revision = "assessment_0004"


def upgrade() -> None:
    op.execute("DROP INDEX ix_day_count_stock")
    op.execute(
        "CREATE INDEX ix_day_count_stock ON day_count (measure, day)"
        " WHERE measure IN ('matters_published', 'bad_ratings_open')"
    )
