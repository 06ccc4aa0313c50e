"""Events handled long ago are found without reading the whole inbox."""

from alembic import op

revision = "matters_0005"
down_revision = "matters_0004"


def upgrade() -> None:
    op.create_index("ix_inbox_handled_at", "inbox", ["handled_at"], postgresql_using="brin")
