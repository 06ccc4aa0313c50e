"""First tables of identity."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB

from shared.database.migrations import create_platform_tables_v1

revision = "identity_0001"
down_revision = None

STAMP = sa.DateTime(timezone=True)


def need(name: str, kind: object) -> sa.Column[object]:
    return sa.Column(name, kind, nullable=False)


def upgrade() -> None:
    create_platform_tables_v1(op)
    op.create_table(
        "account",
        need("id", sa.Uuid),
        need("kind", sa.Text),
        need("revision", sa.Integer),
        need("level", sa.SmallInteger),
        need("active", sa.Boolean),
        need("created_at", STAMP),
        *(
            sa.Column(name, BYTEA)
            for name in (
                "phone",
                "phone_hash",
                "name",
                "id_number",
                "id_number_hash",
                "totp_secret",
            )
        ),
        *(
            sa.Column(name, sa.Text)
            for name in ("username", "password_hash", "area_code", "department_code")
        ),
        need("totp_last_step", sa.BigInteger),
        need("roles", ARRAY(sa.Text)),
        need("scopes", ARRAY(sa.Text)),
        sa.Column("public_key", JSONB),
        sa.PrimaryKeyConstraint("id", name="pk_account"),
        *(
            sa.UniqueConstraint(name, name=f"uq_account_{name}")
            for name in ("phone_hash", "id_number_hash", "username")
        ),
    )
    op.create_index(
        "ix_account_staff", "account", ["id"], postgresql_where=sa.text("kind = 'staff'")
    )
    op.create_table(
        "sms_code",
        need("id", sa.Uuid),
        need("phone_hash", BYTEA),
        need("purpose", sa.Text),
        need("code_hash", BYTEA),
        need("address", sa.Text),
        need("tries", sa.SmallInteger),
        need("used", sa.Boolean),
        need("created_at", STAMP),
        need("expires_at", STAMP),
        sa.PrimaryKeyConstraint("id", name="pk_sms_code"),
    )
    op.create_index("ix_sms_code_phone", "sms_code", ["phone_hash", "purpose", "created_at"])
    op.create_index("ix_sms_code_address", "sms_code", ["address", "created_at"])
    op.create_table(
        "sms_message",
        need("id", sa.Uuid),
        need("phone_hash", BYTEA),
        need("text", BYTEA),
        need("sent_at", STAMP),
        sa.PrimaryKeyConstraint("id", name="pk_sms_message"),
    )
    op.create_index("ix_sms_message_phone_hash", "sms_message", ["phone_hash"])
    op.create_table(
        "session",
        need("id", sa.Uuid),
        need("account_id", sa.Uuid),
        need("amr", ARRAY(sa.Text)),
        need("signed_in_at", STAMP),
        need("generation", sa.Integer),
        need("rotated_at", STAMP),
        need("expires_at", STAMP),
        need("revoked", sa.Boolean),
        sa.PrimaryKeyConstraint("id", name="pk_session"),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="fk_session_account_id"),
    )
    op.create_index(
        "ix_session_account", "session", ["account_id"], postgresql_where=sa.text("NOT revoked")
    )
    op.create_table(
        "revocation",
        sa.Column("position", sa.BigInteger, sa.Identity(always=True), nullable=False),
        need("session_id", sa.Uuid),
        need("at", STAMP),
        sa.PrimaryKeyConstraint("position", name="pk_revocation"),
    )
    op.create_table(
        "signing_key",
        need("kid", sa.Text),
        need("state", sa.Text),
        need("private_key", BYTEA),
        need("public_key", JSONB),
        need("created_at", STAMP),
        sa.Column("retired_at", STAMP),
        sa.PrimaryKeyConstraint("kid", name="pk_signing_key"),
    )
    op.create_table(
        "throttle",
        need("subject", BYTEA),
        need("failures", sa.Integer),
        need("blocked_until", STAMP),
        sa.PrimaryKeyConstraint("subject", name="pk_throttle"),
    )
    op.create_table(
        "used_assertion",
        need("jti", sa.Text),
        need("expires_at", STAMP),
        sa.PrimaryKeyConstraint("jti", name="pk_used_assertion"),
    )
    op.create_index("ix_used_assertion_expires_at", "used_assertion", ["expires_at"])


def downgrade() -> None:
    for table in (
        "used_assertion",
        "throttle",
        "signing_key",
        "revocation",
        "session",
        "sms_message",
        "sms_code",
        "account",
    ):
        op.drop_table(table)
