"""Events handled long ago are found without reading the whole inbox."""

from alembic import op

revision = "cases_0015"
down_revision = "cases_0014"


def upgrade() -> None:
    op.create_index("ix_inbox_handled_at", "inbox", ["handled_at"], postgresql_using="brin")
