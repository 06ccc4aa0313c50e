"""Events handled long ago are found without reading the whole inbox."""

from alembic import op

revision = "assessment_0006"
down_revision = "assessment_0005"


def upgrade() -> None:
    op.create_index("ix_inbox_handled_at", "inbox", ["handled_at"], postgresql_using="brin")
