"""Events handled long ago are found without reading the whole inbox."""

from alembic import op

revision = "ratings_0008"
down_revision = "ratings_0007"


def upgrade() -> None:
    op.create_index("ix_inbox_handled_at", "inbox", ["handled_at"], postgresql_using="brin")
