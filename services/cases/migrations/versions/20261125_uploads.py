"""The same file of the same owner is one upload."""

from alembic import op

revision = "cases_0008"
down_revision = "cases_0007"


def upgrade() -> None:
    op.execute(
        "DELETE FROM upload u USING upload e"
        " WHERE (e.owner, e.digest) = (u.owner, u.digest) AND e.id < u.id"
    )
    op.create_unique_constraint("uq_upload_owner_digest", "upload", ["owner", "digest"])


def downgrade() -> None:
    op.drop_constraint("uq_upload_owner_digest", "upload")
