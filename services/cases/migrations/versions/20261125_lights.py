"""Lights, suspension, extension, and indexes of the work list.

Due dates follow from a start and a number of working days.
"""

import sqlalchemy as sa
from alembic import op

revision = "cases_0004"
down_revision = "cases_0003"

STAMP = sa.DateTime(timezone=True)
PLACE = ("area_code", "department_code")
WAS_OPEN = "state IN ('received', 'correcting', 'accepted', 'decided')"
IS_OPEN = "state IN ('received', 'correcting', 'accepted', 'suspended', 'decided')"
BURNS = "cleared_at IS NULL"
ADDED = {
    "clock_from": sa.Date,
    "due_days": sa.SmallInteger,
    "legal_due_days": sa.SmallInteger,
    "step_due_days": sa.SmallInteger,
    "step_due_on": sa.Date,
    "watch_on": sa.Date,
    "deemed": sa.Boolean,
    "suspension": sa.Text,
    "suspended_on": sa.Date,
    "extended_days": sa.SmallInteger,
    "officer": sa.Text,
}
NEEDED = ("clock_from", "due_days", "deemed", "extended_days")
# A clock whose start is no longer known (delivery, a corrected application) keeps its due date: 0
# days from there.
FILL = """
UPDATE case_file SET deemed = false, extended_days = 0,
  clock_from = CASE WHEN state = 'accepted' THEN accepted_on
    WHEN state = 'received' AND corrections = 0
      THEN (received_at AT TIME ZONE 'Asia/Shanghai')::date
    ELSE due_on END,
  due_days = CASE WHEN state = 'accepted' THEN promised_days
    WHEN state = 'received' AND corrections = 0 THEN 5
    ELSE 0 END,
  legal_due_days = CASE WHEN state = 'accepted' THEN legal_days END,
  watch_on = CASE WHEN state IN ('received', 'accepted', 'decided') THEN CURRENT_DATE END
"""


def upgrade() -> None:
    for name, kind in ADDED.items():
        op.add_column("case_file", sa.Column(name, kind))
    op.execute(FILL)
    for name in NEEDED:
        op.alter_column("case_file", name, nullable=False)
    op.drop_index("ix_case_file_work", "case_file")
    is_open = sa.text(IS_OPEN)
    op.create_index(
        "ix_case_file_work", "case_file", [*PLACE, "due_on", "id"], postgresql_where=is_open
    )
    by_state = [*PLACE, "state", "due_on", "id"]
    op.create_index("ix_case_file_work_state", "case_file", by_state, postgresql_where=is_open)
    by_officer = ["officer", *PLACE, "due_on", "id"]
    op.create_index("ix_case_file_officer", "case_file", by_officer, postgresql_where=is_open)
    watched = sa.text("watch_on IS NOT NULL")
    op.create_index("ix_case_file_watch", "case_file", ["watch_on"], postgresql_where=watched)
    texts = ("number", "matter_name", *PLACE, "rule", "level")
    op.create_table(
        "light",
        *(sa.Column(name, sa.Uuid, nullable=False) for name in ("id", "case_id")),
        *(sa.Column(name, sa.Text, nullable=False) for name in texts),
        sa.Column("due_on", sa.Date, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("raised_at", STAMP, nullable=False),
        *(sa.Column(name, sa.Text) for name in ("answer", "answered_by")),
        *(sa.Column(name, STAMP) for name in ("answered_at", "cleared_at")),
        sa.PrimaryKeyConstraint("id", name="pk_light"),
        sa.ForeignKeyConstraint(["case_id"], ["case_file.id"], name="fk_light_case_id"),
    )
    op.create_index("uq_light_lamp", "light", ["case_id", "rule", "level", "due_on"], unique=True)
    op.create_index("ix_light_department", "light", [*PLACE, "id"])
    op.create_index("ix_light_area", "light", ["area_code", "id"])
    burns = sa.text(BURNS)
    op.create_index("ix_light_open_department", "light", [*PLACE, "id"], postgresql_where=burns)
    op.create_index("ix_light_open_area", "light", ["area_code", "id"], postgresql_where=burns)
    op.create_index("ix_light_open", "light", ["id"], postgresql_where=burns)


def downgrade() -> None:
    op.drop_table("light")
    for name in (
        "ix_case_file_work",
        "ix_case_file_work_state",
        "ix_case_file_officer",
        "ix_case_file_watch",
    ):
        op.drop_index(name, "case_file")
    op.create_index(
        "ix_case_file_work",
        "case_file",
        [*PLACE, "due_on", "id"],
        postgresql_where=sa.text(WAS_OPEN),
    )
    for name in ADDED:
        op.drop_column("case_file", name)
