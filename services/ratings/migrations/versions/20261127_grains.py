"""A part of the counters for each grain."""

from alembic import op

revision = "ratings_0004"
down_revision = "ratings_0003"

GRAINS = ("department", "matter", "hall", "window")


def upgrade() -> None:
    op.execute("ALTER TABLE rating_count RENAME TO whole")
    op.execute("ALTER INDEX pk_rating_count RENAME TO pk_whole")
    op.execute("DROP INDEX ix_rating_count_month")
    op.execute(
        "CREATE TABLE rating_count (LIKE whole, CONSTRAINT pk_rating_count PRIMARY KEY"
        " (grain, area_code, department_code, month, item, part, pf, sub_channel))"
        " PARTITION BY LIST (grain)"
    )
    for grain in GRAINS:
        # A department's row of the month changes with every rating: room for new versions keeps the
        # indexes still.
        op.execute(
            f"CREATE TABLE rating_count_{grain} PARTITION OF rating_count"
            f" FOR VALUES IN ('{grain}') WITH (fillfactor = 70)"
        )
    op.execute(
        "CREATE INDEX ix_rating_count_month ON rating_count (month) WHERE grain = 'department'"
    )
    op.execute("INSERT INTO rating_count SELECT * FROM whole")
    op.execute("DROP TABLE whole")
