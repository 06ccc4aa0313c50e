"""Tables for giving a rating.

The calendar, keys and batches of tokens, messages, codes of windows, what detectors compare.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from shared.domain.workdays import read_seed

revision = "ratings_0002"
down_revision = "ratings_0001"

STAMP = sa.DateTime(timezone=True)


def need(name: str, kind: object) -> sa.Column[object]:
    return sa.Column(name, kind, nullable=False)


def upgrade() -> None:
    _calendar()
    _tokens()
    _uses()
    op.add_column("invitation", sa.Column("kid", sa.Text, nullable=False, server_default=""))
    op.add_column(
        "invitation",
        sa.Column("sms_pending", sa.Boolean, nullable=False, server_default=sa.text("false")),
    )
    where = sa.text("account_id IS NOT NULL")
    op.create_index(
        "ix_invitation_account", "invitation", ["account_id", "id"], postgresql_where=where
    )
    op.create_index(
        "ix_invitation_sms", "invitation", ["id"], postgresql_where=sa.text("sms_pending")
    )
    op.add_column("rating", sa.Column("source", sa.Text, nullable=False, server_default="link"))
    op.add_column("rating", sa.Column("operator", sa.Text))
    for name in ("content_hash", "text_hash", "device_hash", "address_hash"):
        op.add_column("rating", sa.Column(name, sa.LargeBinary))
    op.create_index("ix_rating_account", "rating", ["account_id", "id"], postgresql_where=where)
    for name, column in (
        ("terminal", "terminal"),
        *((n, f"{n}_hash") for n in ("address", "device", "text")),
    ):
        known = sa.text(f"{column} IS NOT NULL")
        op.create_index(f"ix_rating_{name}", "rating", [column, "rated_at"], postgresql_where=known)
    window = ["area_code", "department_code", "hall", "window", "rated_at"]
    op.create_index(
        "ix_rating_window", "rating", window, postgresql_where=sa.text('"window" IS NOT NULL')
    )
    suspect = sa.text("suspicions <> '{}'")
    op.create_index(
        "ix_rating_suspect",
        "rating",
        ["area_code", "department_code", "id"],
        postgresql_where=suspect,
    )


def _calendar() -> None:
    days = op.create_table(
        "calendar_day",
        need("day", sa.Date),
        need("is_working", sa.Boolean),
        need("note", sa.Text),
        sa.PrimaryKeyConstraint("day", name="pk_calendar_day"),
    )
    op.bulk_insert(
        days,
        [{"day": day, "is_working": working, "note": note} for day, working, note in read_seed()],
    )
    op.create_table(
        "calendar_version",
        need("version", sa.Uuid),
        sa.PrimaryKeyConstraint("version", name="pk_calendar_version"),
    )
    op.execute("INSERT INTO calendar_version VALUES (gen_random_uuid())")


def _tokens() -> None:
    op.create_table(
        "signing_key",
        need("kid", sa.Text),
        need("state", sa.Text),
        need("private_key", sa.LargeBinary),
        need("public_key", JSONB),
        need("created_at", STAMP),
        sa.Column("retired_at", STAMP),
        sa.PrimaryKeyConstraint("kid", name="pk_signing_key"),
    )
    turn = sa.text("state IN ('current', 'next')")
    op.create_index(
        "uq_signing_key_turn", "signing_key", ["state"], unique=True, postgresql_where=turn
    )
    op.create_table(
        "token_batch",
        need("id", sa.Uuid),
        *(need(name, sa.Text) for name in ("area_code", "department_code", "hall", "window")),
        need("size", sa.Integer),
        need("expires_on", sa.Date),
        need("kid", sa.Text),
        need("ordered_by", sa.Text),
        need("ordered_at", STAMP),
        sa.Column("downloaded_at", STAMP),
        sa.PrimaryKeyConstraint("id", name="pk_token_batch"),
    )
    op.create_index("ix_token_batch_place", "token_batch", ["area_code", "department_code", "id"])
    op.create_table(
        "redemption",
        need("subject_id", sa.Uuid),
        need("batch_id", sa.Uuid),
        need("number", sa.Integer),
        need("invitation_id", sa.Uuid),
        need("redeemed_at", STAMP),
        sa.PrimaryKeyConstraint("subject_id", name="pk_redemption"),
    )
    op.create_index("ix_redemption_batch_id", "redemption", ["batch_id"])


def _uses() -> None:
    op.create_table(
        "sms_message",
        need("id", sa.Uuid),
        need("phone_hash", sa.LargeBinary),
        need("text", sa.LargeBinary),
        need("sent_at", STAMP),
        sa.PrimaryKeyConstraint("id", name="pk_sms_message"),
    )
    op.create_index("ix_sms_message_phone_hash", "sms_message", ["phone_hash"])
    op.create_index("ix_sms_message_sent_at", "sms_message", ["sent_at"])
    op.create_table(
        "window_use",
        need("window_hash", sa.LargeBinary),
        need("step", sa.BigInteger),
        need("device_hash", sa.LargeBinary),
        need("address_hash", sa.LargeBinary),
        need("used_at", STAMP),
        sa.PrimaryKeyConstraint("window_hash", "step", "device_hash", name="pk_window_use"),
    )
    op.create_index("ix_window_use_device", "window_use", ["window_hash", "device_hash", "used_at"])
    op.create_index(
        "ix_window_use_address", "window_use", ["window_hash", "address_hash", "used_at"]
    )
    op.create_index("ix_window_use_used_at", "window_use", ["used_at"])
    op.create_table(
        "hotline_try",
        need("case_number", sa.Text),
        need("day", sa.Date),
        need("failures", sa.Integer),
        sa.PrimaryKeyConstraint("case_number", "day", name="pk_hotline_try"),
    )


def downgrade() -> None:
    for name in ("suspect", "window", "text", "device", "address", "terminal", "account"):
        op.drop_index(f"ix_rating_{name}", "rating")
    for name in ("source", "operator", "content_hash", "text_hash", "device_hash", "address_hash"):
        op.drop_column("rating", name)
    op.drop_index("ix_invitation_sms", "invitation")
    op.drop_index("ix_invitation_account", "invitation")
    op.drop_column("invitation", "sms_pending")
    op.drop_column("invitation", "kid")
    tables = (
        "hotline_try",
        "window_use",
        "sms_message",
        "redemption",
        "token_batch",
        "signing_key",
    )
    for table in (*tables, "calendar_version", "calendar_day"):
        op.drop_table(table)
