"""The event log, subscriptions to it, and deliveries."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA

revision = "exchange_0002"
down_revision = "exchange_0001"

STAMP = sa.DateTime(timezone=True)
PENDING = sa.text("state = 'pending'")


def upgrade() -> None:
    op.create_table(
        "log_head",
        sa.Column("id", sa.SmallInteger, autoincrement=False, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("pruned", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_log_head"),
        sa.CheckConstraint("id = 1", name="ck_log_head_single"),
    )
    op.execute("INSERT INTO log_head VALUES (1, 0, 0)")
    op.create_table(
        "logged_event",
        sa.Column("sequence", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("event_id", sa.Uuid, nullable=False),
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("type", "key", "area_code", "department_code")
        ),
        sa.Column("matter_code", sa.Text),
        sa.Column("occurred_at", STAMP, nullable=False),
        sa.Column("logged_at", STAMP, nullable=False),
        sa.Column("payload", BYTEA, nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_logged_event"),
        sa.UniqueConstraint("event_id", name="uq_logged_event_event_id"),
    )
    op.create_index(
        "ix_logged_event_scope",
        "logged_event",
        ["type", "area_code", "sequence"],
        postgresql_include=["department_code", "matter_code"],
    )
    _subscriptions()
    _deliveries()


def _subscriptions() -> None:
    op.create_table(
        "subscription",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("peer_id", sa.Uuid, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("name", "mode", "state")),
        *(
            sa.Column(name, ARRAY(sa.Text), nullable=False)
            for name in ("event_types", "area_codes", "department_codes", "matter_codes")
        ),
        sa.Column("endpoint", sa.Text),
        sa.Column("sign_ed25519", sa.Boolean, nullable=False),
        sa.Column("secrets", BYTEA),
        sa.Column("cursor", sa.BigInteger, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        *(sa.Column(name, STAMP) for name in ("failing_since", "alerted_at", "probe_at")),
        sa.Column("reason", sa.Text),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("created_at", STAMP, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_subscription"),
        sa.ForeignKeyConstraint(["peer_id"], ["peer.id"], name="fk_subscription_peer_id"),
    )
    op.create_index("ix_subscription_peer_id", "subscription", ["peer_id", "id"])
    sending = sa.text("state = 'active' AND mode = 'webhook'")
    op.create_index("ix_subscription_sending", "subscription", ["cursor"], postgresql_where=sending)


def _deliveries() -> None:
    op.create_table(
        "delivery",
        sa.Column("subscription_id", sa.Uuid, nullable=False),
        sa.Column("sequence", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("event_id", sa.Uuid, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("type", "key", "state")),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_attempt_at", STAMP, nullable=False),
        sa.Column("first_failed_at", STAMP),
        sa.Column("delivered_at", STAMP),
        sa.Column("last_status", sa.Integer),
        sa.Column("cause", sa.Text),
        sa.PrimaryKeyConstraint("subscription_id", "sequence", name="pk_delivery"),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscription.id"], name="fk_delivery_subscription_id"
        ),
    )
    op.create_index("ix_delivery_state", "delivery", ["subscription_id", "state", "sequence"])
    op.create_index(
        "ix_delivery_due",
        "delivery",
        ["subscription_id", "next_attempt_at", "sequence"],
        postgresql_where=PENDING,
    )
    op.create_index(
        "ix_delivery_key",
        "delivery",
        ["subscription_id", "key", "sequence"],
        postgresql_where=PENDING,
    )
    failing = sa.text("state = 'pending' AND first_failed_at IS NOT NULL")
    op.create_index(
        "ix_delivery_failing", "delivery", ["first_failed_at"], postgresql_where=failing
    )
    delivered = sa.text("state = 'delivered'")
    op.create_index("ix_delivery_history", "delivery", ["delivered_at"], postgresql_where=delivered)
    op.create_table(
        "delivery_statistic",
        sa.Column("subscription_id", sa.Uuid, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("measure", sa.Text, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("subscription_id", "type", "measure", name="pk_delivery_statistic"),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscription.id"], name="fk_delivery_statistic_subscription_id"
        ),
    )


def downgrade() -> None:
    for table in ("delivery_statistic", "delivery", "subscription", "logged_event", "log_head"):
        op.drop_table(table)
