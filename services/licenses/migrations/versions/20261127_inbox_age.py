"""Events handled long ago are found without reading the whole inbox."""

from alembic import op

revision = "licenses_0004"
down_revision = "licenses_0003"


def upgrade() -> None:
    op.create_index("ix_inbox_handled_at", "inbox", ["handled_at"], postgresql_using="brin")
