"""One-thing applications: the bundle's copy, the parent, and the parent of a case."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "cases_0011"
down_revision = "cases_0010"

SECRET = ("applicant_name", "applicant_id_number", "phone", "fields")


def need(
    name: str, kind: sa.types.TypeEngine[object] | type[sa.types.TypeEngine[object]]
) -> sa.Column[object]:
    return sa.Column(name, kind, nullable=False)


def upgrade() -> None:
    op.create_table(
        "bundle_copy",
        need("bundle_id", sa.Uuid),
        need("revision", sa.Integer),
        need("version", sa.Integer),
        need("open", sa.Boolean),
        need("document", JSONB),
        sa.PrimaryKeyConstraint("bundle_id", name="pk_bundle_copy"),
    )
    op.create_table(
        "bundle_case",
        need("id", sa.Uuid),
        need("number", sa.Text),
        need("bundle_id", sa.Uuid),
        need("bundle_version", sa.Integer),
        *(
            need(name, sa.Text)
            for name in ("name", "area_code", "department_code", "channel", "applicant_kind")
        ),
        sa.Column("account_id", sa.Uuid),
        *(need(name, sa.LargeBinary) for name in (*SECRET, "applicant_id_hash")),
        need("guide_digest", sa.Text),
        need("matters", ARRAY(sa.Uuid)),
        need("plan", JSONB),
        sa.Column("intake_by", sa.Text),
        need("submitted_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_bundle_case"),
        sa.UniqueConstraint("number", name="uq_bundle_case_number"),
    )
    op.create_index("ix_bundle_case_owner", "bundle_case", ["account_id", "id"])
    op.add_column("case_file", sa.Column("bundle_case_id", sa.Uuid))
    op.create_index(
        "ix_case_file_bundle",
        "case_file",
        ["bundle_case_id"],
        postgresql_where=sa.text("bundle_case_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_case_file_bundle", "case_file")
    op.drop_column("case_file", "bundle_case_id")
    op.drop_table("bundle_case")
    op.drop_table("bundle_copy")
