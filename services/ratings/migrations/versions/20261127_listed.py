"""Published ratings of a department in whatever area, and of a channel."""

from alembic import op

revision = "ratings_0007"
down_revision = "ratings_0006"

INDEXES = {"ix_publication_department_code": "department_code", "ix_publication_channel": "pf"}


def upgrade() -> None:
    for name, column in INDEXES.items():
        op.execute(f"CREATE INDEX {name} ON publication ({column}, place) WHERE place IS NOT NULL")
