"""First tables of cases."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB

from shared.database.migrations import create_platform_tables_v1
from shared.domain.workdays import read_seed

revision = "cases_0001"
down_revision = None

STAMP = sa.DateTime(timezone=True)
OPEN = "state IN ('received', 'correcting', 'accepted', 'decided')"


def need(name: str, kind: object) -> sa.Column[object]:
    return sa.Column(name, kind, nullable=False)


def upgrade() -> None:
    create_platform_tables_v1(op)
    op.create_table(
        "matter_copy",
        need("matter_id", sa.Uuid),
        need("revision", sa.Integer),
        need("version", sa.Integer),
        need("open", sa.Boolean),
        need("document", JSONB),
        sa.PrimaryKeyConstraint("matter_id", name="pk_matter_copy"),
    )
    op.create_table(
        "case_serial",
        need("code", sa.Text),
        need("day", sa.Date),
        need("last", sa.Integer),
        sa.PrimaryKeyConstraint("code", "day", name="pk_case_serial"),
    )
    op.create_table(
        "case_file",
        need("id", sa.Uuid),
        *(
            need(name, sa.Text)
            for name in ("number", "state", "area_code", "department_code", "matter_code")
        ),
        *(
            need(name, sa.Text)
            for name in ("matter_name", "matter_type", "channel", "applicant_kind", "guide_digest")
        ),
        *(
            sa.Column(name, sa.Text)
            for name in ("license_type_code", "intake_by", "decided_by", "result", "reasons")
        ),
        *(need(name, sa.Integer) for name in ("revision", "matter_version")),
        need("matter_id", sa.Uuid),
        sa.Column("account_id", sa.Uuid),
        *(need(name, sa.Boolean) for name in ("immediate", "overdue")),
        *(need(name, sa.SmallInteger) for name in ("promised_days", "corrections")),
        sa.Column("legal_days", sa.SmallInteger),
        *(
            need(name, BYTEA)
            for name in ("applicant_name", "applicant_id_number", "applicant_id_hash", "phone")
        ),
        *(need(name, JSONB) for name in ("guide", "materials", "missing")),
        need("reviewers", ARRAY(sa.Text)),
        need("received_at", STAMP),
        sa.Column("accepted_on", sa.Date),
        need("due_on", sa.Date),
        sa.Column("legal_due_on", sa.Date),
        sa.PrimaryKeyConstraint("id", name="pk_case_file"),
        sa.UniqueConstraint("number", name="uq_case_file_number"),
    )
    work = ["area_code", "department_code", "due_on", "id"]
    op.create_index("ix_case_file_work", "case_file", work, postgresql_where=sa.text(OPEN))
    op.create_index("ix_case_file_owner", "case_file", ["account_id", "id"])
    op.create_index(
        "ix_case_file_silent",
        "case_file",
        ["due_on"],
        postgresql_where=sa.text("state = 'received'"),
    )
    op.create_table(
        "case_step",
        need("id", sa.Uuid),
        need("case_id", sa.Uuid),
        need("act", sa.Text),
        need("role", sa.Text),
        sa.Column("note", sa.Text),
        need("at", STAMP),
        sa.PrimaryKeyConstraint("id", name="pk_case_step"),
        sa.ForeignKeyConstraint(["case_id"], ["case_file.id"], name="fk_case_step_case_id"),
    )
    op.create_index("ix_case_step_case_id", "case_step", ["case_id"])
    op.create_table(
        "upload",
        need("id", sa.Uuid),
        *(need(name, sa.Text) for name in ("owner", "digest", "media_type")),
        need("size", sa.Integer),
        need("at", STAMP),
        sa.PrimaryKeyConstraint("id", name="pk_upload"),
    )
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


def downgrade() -> None:
    for table in ("calendar_day", "upload", "case_step", "case_file", "case_serial", "matter_copy"):
        op.drop_table(table)
