"""A copy of licences, and which open cases use them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "cases_0010"
down_revision = "cases_0009"


def need(name: str, kind: object) -> sa.Column[object]:
    return sa.Column(name, kind, nullable=False)


def upgrade() -> None:
    op.create_table(
        "license_copy",
        need("license_id", sa.Uuid),
        need("revision", sa.Integer),
        *(need(name, sa.Text) for name in ("holder_kind", "holder", "type_code", "number")),
        *(need(name, sa.Text) for name in ("status", "trust", "digest")),
        need("type_name", JSONB),
        sa.Column("valid_until", sa.Date),
        sa.Column("account_id", sa.Uuid),
        sa.PrimaryKeyConstraint("license_id", name="pk_license_copy"),
    )
    op.create_index("ix_license_copy_holder_type_code", "license_copy", ["holder", "type_code"])
    op.create_index(
        "ix_license_copy_account",
        "license_copy",
        ["account_id", "type_code"],
        postgresql_where=sa.text("account_id IS NOT NULL"),
    )
    op.create_table(
        "case_license",
        need("license_id", sa.Uuid),
        need("case_id", sa.Uuid),
        need("material_code", sa.Text),
        sa.PrimaryKeyConstraint("license_id", "case_id", "material_code", name="pk_case_license"),
        sa.ForeignKeyConstraint(
            ["case_id"], ["case_file.id"], name="fk_case_license_case_id_case_file"
        ),
    )


def downgrade() -> None:
    op.drop_table("case_license")
    op.drop_table("license_copy")
