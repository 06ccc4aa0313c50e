"""The bad-rating loop.

Tickets and their steps, appeals, publications, deadlines, and the counters of the rates.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "ratings_0003"
down_revision = "ratings_0002"

STAMP = sa.DateTime(timezone=True)
PLACE = ("area_code", "department_code")
RUNNING = sa.text("closed_on IS NULL")
PENDING = sa.text("decided_on IS NULL")
SHOWN = sa.text("place IS NOT NULL")
COUNTED = (
    "invited grade_1 grade_2 grade_3 grade_4 grade_5 real_bad called_back rectify_due rectified"
    " rectified_in_time rerated satisfied excluded appeals_decided appeals_upheld"
)


def _columns(kind: object, names: str, *, nullable: bool = False) -> list[sa.Column[object]]:
    return [sa.Column(name, kind, nullable=nullable) for name in names.split()]


def _tickets() -> None:
    op.create_table(
        "ticket",
        *_columns(sa.Uuid, "id rating_id"),
        sa.Column("revision", sa.Integer, nullable=False),
        *_columns(sa.Text, "state area_code department_code"),
        *_columns(sa.SmallInteger, "round grade attempts level"),
        sa.Column("account_id", sa.Uuid),
        *_columns(sa.Boolean, "real_name explained rectify_late"),
        sa.Column("opened_at", STAMP, nullable=False),
        *_columns(sa.Date, "opened_on callback_due_on verify_due_on rectify_due_on"),
        *_columns(
            sa.Date,
            "first_call_on reached_on called_back_on verified_on planned_on rectified_on"
            " feedback_on closed_on silent_on next_due_on watch_on",
            nullable=True,
        ),
        *_columns(sa.Boolean, "confirmed satisfied", nullable=True),
        *_columns(
            sa.Text,
            "plan_class plan_reason ledger approved_by root_cause root_words action handler",
            nullable=True,
        ),
        sa.Column("regrade", sa.SmallInteger),
        sa.Column("escalated", ARRAY(sa.Text), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ticket"),
        sa.UniqueConstraint("rating_id", name="uq_ticket_rating_id"),
        sa.ForeignKeyConstraint(["rating_id"], ["rating.id"], name="fk_ticket_rating_id"),
    )
    due = ["next_due_on", "id"]
    op.create_index("ix_ticket_work", "ticket", [*PLACE, *due], postgresql_where=RUNNING)
    op.create_index("ix_ticket_area", "ticket", ["area_code", *due], postgresql_where=RUNNING)
    op.create_index("ix_ticket_running", "ticket", due, postgresql_where=RUNNING)
    op.create_index(
        "ix_ticket_handler", "ticket", ["handler", *PLACE, *due], postgresql_where=RUNNING
    )
    op.create_index("ix_ticket_owner", "ticket", ["account_id", "id"])
    op.create_index(
        "ix_ticket_watch", "ticket", ["watch_on"], postgresql_where=sa.text("watch_on IS NOT NULL")
    )
    op.create_table(
        "ticket_step",
        *_columns(sa.Uuid, "id ticket_id"),
        sa.Column("round", sa.SmallInteger, nullable=False),
        sa.Column("act", sa.Text, nullable=False),
        *_columns(sa.Text, "outcome officer", nullable=True),
        sa.Column("words", sa.LargeBinary),
        sa.Column("at", STAMP, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ticket_step"),
        sa.ForeignKeyConstraint(["ticket_id"], ["ticket.id"], name="fk_ticket_step_ticket_id"),
    )
    op.create_index("ix_ticket_step_ticket", "ticket_step", ["ticket_id", "id"])
    op.create_table(
        "deadline",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("days", sa.SmallInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_deadline"),
    )


def _appeals() -> None:
    op.create_table(
        "appeal",
        *_columns(sa.Uuid, "id ticket_id rating_id"),
        sa.Column("revision", sa.Integer, nullable=False),
        *_columns(sa.Text, "area_code department_code ground reasons made_by"),
        sa.Column("made_at", STAMP, nullable=False),
        sa.Column("review_due_on", sa.Date, nullable=False),
        *_columns(ARRAY(sa.Text), "agreed opinions"),
        sa.Column("refused_by", sa.Text),
        sa.Column("decided_on", sa.Date),
        sa.PrimaryKeyConstraint("id", name="pk_appeal"),
        sa.UniqueConstraint("ticket_id", name="uq_appeal_ticket_id"),
        sa.UniqueConstraint("rating_id", name="uq_appeal_rating_id"),
        sa.ForeignKeyConstraint(["ticket_id"], ["ticket.id"], name="fk_appeal_ticket_id"),
    )
    op.create_index(
        "ix_appeal_pending", "appeal", ["review_due_on", "id"], postgresql_where=PENDING
    )
    op.create_index(
        "ix_appeal_pending_area",
        "appeal",
        ["area_code", "review_due_on", "id"],
        postgresql_where=PENDING,
    )
    upheld = sa.text("decided_on IS NOT NULL AND refused_by IS NULL")
    op.create_index(
        "ix_appeal_upheld", "appeal", ["decided_on", "rating_id"], postgresql_where=upheld
    )


def _publications() -> None:
    op.create_table(
        "publication",
        sa.Column("rating_id", sa.Uuid, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        *_columns(sa.Text, "area_code department_code pf"),
        *_columns(
            sa.Text, "matter_code hall window masked_name moderation moderated_by", nullable=True
        ),
        sa.Column("month", sa.Date, nullable=False),
        sa.Column("due_on", sa.Date),
        sa.Column("place", sa.Uuid),
        sa.Column("text_hidden", sa.Boolean, nullable=False),
        sa.Column("moderated_at", STAMP),
        sa.PrimaryKeyConstraint("rating_id", name="pk_publication"),
        sa.ForeignKeyConstraint(["rating_id"], ["rating.id"], name="fk_publication_rating_id"),
    )
    due = sa.text("place IS NULL AND due_on IS NOT NULL")
    op.create_index("ix_publication_due", "publication", ["due_on"], postgresql_where=due)
    for name, columns in {
        "place": [],
        "area": ["area_code"],
        "department": [*PLACE],
        "matter": ["matter_code"],
        "hall": ["area_code", "hall", "window"],
        "month": ["month"],
    }.items():
        op.create_index(
            f"ix_publication_{name}", "publication", [*columns, "place"], postgresql_where=SHOWN
        )


def _counts() -> None:
    keys = ("grain", *PLACE, "month", "item", "part", "pf", "sub_channel")
    op.create_table(
        "rating_count",
        *(sa.Column(key, sa.Date if key == "month" else sa.Text, nullable=False) for key in keys),
        *_columns(sa.BigInteger, COUNTED),
        sa.PrimaryKeyConstraint(*keys, name="pk_rating_count"),
    )
    department = sa.text("grain = 'department'")
    op.create_index("ix_rating_count_month", "rating_count", ["month"], postgresql_where=department)
    # A department's row of the month changes with every rating: room for new versions keeps the
    # indexes still.
    op.execute("ALTER TABLE rating_count SET (fillfactor = 70)")


def upgrade() -> None:
    _tickets()
    _appeals()
    _publications()
    _counts()


def downgrade() -> None:
    for table in ("rating_count", "publication", "appeal", "ticket_step", "ticket", "deadline"):
        op.drop_table(table)
