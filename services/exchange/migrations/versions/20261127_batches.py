"""Batches that come in, the ledger of what goes to the region, and their reconciliation."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import BYTEA, JSONB

revision = "exchange_0003"
down_revision = "exchange_0002"

STAMP = sa.DateTime(timezone=True)


def need(name: str, kind: object, default: str | None = None) -> sa.Column[object]:
    return sa.Column(name, kind, nullable=False, server_default=default)


def upgrade() -> None:
    _batches()
    _ledger()
    _reconciliation()


def _batches() -> None:
    op.create_table(
        "receipt_key",
        *(need(name, sa.Text) for name in ("kid", "state")),
        need("private_key", BYTEA),
        need("public_key", JSONB),
        need("created_at", STAMP),
        sa.Column("retired_at", STAMP),
        sa.PrimaryKeyConstraint("kid", name="pk_receipt_key"),
    )
    current = sa.text("state = 'current'")
    op.create_index(
        "uq_receipt_key_current", "receipt_key", ["state"], unique=True, postgresql_where=current
    )
    op.create_table(
        "batch",
        *(need(name, sa.Uuid) for name in ("id", "peer_id")),
        *(
            need(name, sa.Text)
            for name in ("peer_code", "number", "resource", "area_code", "department_code")
        ),
        *(need(name, sa.Text) for name in ("key_id", "created", "state")),
        *(need(name, BYTEA) for name in ("signature", "digest", "receipt")),
        *(
            need(name, sa.Integer)
            for name in ("records", "chunks", "chunks_judged", "accepted", "unchanged", "rejected")
        ),
        sa.Column("final_receipt", BYTEA),
        need("received_at", STAMP),
        sa.Column("finished_at", STAMP),
        sa.PrimaryKeyConstraint("id", name="pk_batch"),
    )
    op.create_index("uq_batch_peer_id_number", "batch", ["peer_id", "number"], unique=True)
    op.create_index("ix_batch_peer_id", "batch", ["peer_id", "id"])
    unfinished = sa.text("state <> 'finished'")
    columns = ["peer_code", "resource", "received_at"]
    op.create_index("ix_batch_unfinished", "batch", columns, postgresql_where=unfinished)
    op.create_table(
        "batch_chunk",
        need("batch_id", sa.Uuid),
        *(need(name, sa.Integer) for name in ("chunk", "first_row", "rows")),
        sa.Column("judged_at", STAMP),
        sa.PrimaryKeyConstraint("batch_id", "chunk", name="pk_batch_chunk"),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.id"], name="fk_batch_chunk_batch_id"),
    )
    op.create_table(
        "batch_reject",
        need("batch_id", sa.Uuid),
        need("row", sa.Integer),
        sa.Column("key", sa.Text),
        need("faults", JSONB),
        sa.PrimaryKeyConstraint("batch_id", "row", name="pk_batch_reject"),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.id"], name="fk_batch_reject_batch_id"),
    )
    op.create_table(
        "record_count",
        *(need(name, sa.Text) for name in ("peer_code", "resource", "measure")),
        need("value", sa.BigInteger),
        sa.PrimaryKeyConstraint("peer_code", "resource", "measure", name="pk_record_count"),
    )


def _ledger() -> None:
    op.execute(sa.schema.CreateSequence(sa.Sequence("ledger_seq")))
    op.create_table(
        "ledger",
        *(
            need(name, sa.Text)
            for name in ("resource", "key", "op", "area_code", "department_code", "record")
        ),
        need("version", sa.BigInteger),
        need("day", sa.Date),
        *(need(name, BYTEA) for name in ("rd", "loose")),
        *(need(name, sa.SmallInteger) for name in ("b1", "b2")),
        *(need(name, sa.BigInteger) for name in ("d1", "d2", "last_seq")),
        need("sent_seq", sa.BigInteger, "0"),
        need("push_state", sa.Text, "waiting"),
        sa.Column("push_id", sa.Uuid),
        sa.Column("reject_code", sa.Text),
        need("changed_at", STAMP),
        sa.PrimaryKeyConstraint("resource", "key", name="pk_ledger"),
    )
    window = ["resource", "day", "b1", "b2"]
    op.create_index("ix_ledger_window", "ledger", window, postgresql_include=["d1", "d2"])
    waiting, in_flight = (
        sa.text("push_state = 'waiting'"),
        sa.text("push_state IN ('waiting', 'sent')"),
    )
    op.create_index(
        "ix_ledger_waiting", "ledger", ["resource", "last_seq"], postgresql_where=waiting
    )
    op.create_index(
        "ix_ledger_in_flight", "ledger", ["resource", "day"], postgresql_where=in_flight
    )
    op.create_index(
        "ix_ledger_push_id", "ledger", ["push_id"], postgresql_where=sa.text("push_id IS NOT NULL")
    )
    op.create_table(
        "push",
        need("id", sa.Uuid),
        *(need(name, sa.Text) for name in ("resource", "state")),
        need("number", sa.BigInteger),
        need("rows", sa.Integer),
        sa.Column("body", BYTEA),
        need("digest", BYTEA),
        *(need(name, sa.Integer, "0") for name in ("attempts", "rejected")),
        *(need(name, STAMP) for name in ("next_attempt_at", "created_at")),
        sa.Column("settled_at", STAMP),
        sa.PrimaryKeyConstraint("id", name="pk_push"),
    )
    op.create_index("uq_push_resource_number", "push", ["resource", "number"], unique=True)
    unsettled = sa.text("state <> 'settled'")
    op.create_index("ix_push_open", "push", ["resource", "number"], postgresql_where=unsettled)


def _reconciliation() -> None:
    op.create_table(
        "reconciliation",
        need("id", sa.Uuid),
        *(need(name, sa.Text) for name in ("peer_code", "resource", "state", "requested_by")),
        *(need(name, sa.Date) for name in ("first_day", "last_day")),
        need("only_windows", sa.Boolean),
        *(sa.Column(name, sa.Text) for name in ("approved_by", "failure")),
        sa.Column("cut", sa.BigInteger),
        need("progress", JSONB),
        sa.Column("equal", sa.Boolean),
        *(sa.Column(name, BYTEA) for name in ("statement", "peer_statement")),
        *(need(name, STAMP) for name in ("created_at", "next_step_at")),
        sa.Column("finished_at", STAMP),
        sa.PrimaryKeyConstraint("id", name="pk_reconciliation"),
    )
    still_open = sa.text("state NOT IN ('finished', 'failed')")
    op.create_index("ix_reconciliation_open", "reconciliation", ["id"], postgresql_where=still_open)
    by_day = ["resource", "only_windows", "created_at"]
    op.create_index("ix_reconciliation_resource", "reconciliation", by_day)
    op.create_table(
        "reconciliation_difference",
        need("run_id", sa.Uuid),
        need("key", sa.Text),
        need("day", sa.Date),
        *(need(name, sa.Text) for name in ("kind", "cause", "remedy", "owner", "state")),
        *(sa.Column(name, sa.BigInteger) for name in ("our_version", "peer_version")),
        need("due_on", sa.Date),
        need("residual", sa.Boolean),
        sa.PrimaryKeyConstraint("run_id", "key", name="pk_reconciliation_difference"),
        sa.ForeignKeyConstraint(
            ["run_id"], ["reconciliation.id"], name="fk_reconciliation_difference_run_id"
        ),
    )
    found = sa.text("state = 'found'")
    columns = ["run_id", "key"]
    op.create_index(
        "ix_reconciliation_difference_found",
        "reconciliation_difference",
        columns,
        postgresql_where=found,
    )


def downgrade() -> None:
    for table in ("reconciliation_difference", "reconciliation", "push", "ledger"):
        op.drop_table(table)
    op.execute(sa.schema.DropSequence(sa.Sequence("ledger_seq")))
    for table in ("record_count", "batch_reject", "batch_chunk", "batch", "receipt_key"):
        op.drop_table(table)
