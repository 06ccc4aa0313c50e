"""Organisations, mini-programs, withdrawn subjects; indexes of what is cleared by age."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import BYTEA

revision = "identity_0003"
down_revision = "identity_0002"

STAMP = sa.DateTime(timezone=True)
CURRENT = sa.text("ended_at IS NULL")
AGES = (
    ("sms_code", "created_at"),
    ("sms_message", "sent_at"),
    ("throttle", "blocked_until"),
    ("revocation", "at"),
)


def need(name: str, kind: object) -> sa.Column[object]:
    return sa.Column(name, kind, nullable=False)


def upgrade() -> None:
    op.add_column("account", sa.Column("uscc", sa.Text))
    op.create_unique_constraint("uq_account_uscc", "account", ["uscc"])
    op.create_table(
        "organisation_link",
        need("id", sa.Uuid),
        need("organisation_id", sa.Uuid),
        need("person_id", sa.Uuid),
        need("created_at", STAMP),
        sa.Column("ended_at", STAMP),
        sa.PrimaryKeyConstraint("id", name="pk_organisation_link"),
        *(
            sa.ForeignKeyConstraint([name], ["account.id"], name=f"fk_organisation_link_{name}")
            for name in ("organisation_id", "person_id")
        ),
    )
    op.create_index(
        "uq_organisation_link_current",
        "organisation_link",
        ["organisation_id"],
        unique=True,
        postgresql_where=CURRENT,
    )
    op.create_index(
        "ix_organisation_link_person", "organisation_link", ["person_id"], postgresql_where=CURRENT
    )
    op.create_table(
        "mini_program_link",
        need("app_id", sa.Text),
        need("openid_hash", BYTEA),
        sa.Column("unionid_hash", BYTEA),
        need("account_id", sa.Uuid),
        need("created_at", STAMP),
        sa.PrimaryKeyConstraint("app_id", "openid_hash", name="pk_mini_program_link"),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name="fk_mini_program_link_account_id"
        ),
    )
    op.create_index("ix_mini_program_link_unionid_hash", "mini_program_link", ["unionid_hash"])
    for name, target in (("organisation_id", "account"), ("parent_id", "session")):
        op.add_column("session", sa.Column(name, sa.Uuid))
        op.create_foreign_key(f"fk_session_{name}", "session", target, [name], ["id"])
    op.alter_column("revocation", "session_id", nullable=True)
    op.add_column("revocation", sa.Column("subject", sa.Uuid))
    for table, column in AGES:
        op.create_index(f"ix_{table}_{column}", table, [column])


def downgrade() -> None:
    for table, column in AGES:
        op.drop_index(f"ix_{table}_{column}", table)
    op.drop_column("revocation", "subject")
    op.execute("DELETE FROM revocation WHERE session_id IS NULL")
    op.alter_column("revocation", "session_id", nullable=False)
    for name in ("parent_id", "organisation_id"):
        op.drop_column("session", name)
    op.drop_table("mini_program_link")
    op.drop_table("organisation_link")
    op.drop_column("account", "uscc")
