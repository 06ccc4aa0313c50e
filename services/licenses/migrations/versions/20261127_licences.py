"""Types, licences with their versions and steps, keys, uses, jobs, counts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import BYTEA, JSONB

revision = "licenses_0002"
down_revision = "licenses_0001"

STAMP = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "account_link",
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("account_id", sa.Uuid, nullable=False),
        sa.PrimaryKeyConstraint("holder", name="pk_account_link"),
    )
    op.create_index("ix_account_link_account_id", "account_link", ["account_id"])
    op.create_table(
        "check_tries",
        sa.Column("key", BYTEA, nullable=False),
        sa.Column("since", STAMP, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_check_tries"),
    )
    op.create_index("ix_check_tries_since", "check_tries", ["since"])
    op.create_table(
        "license",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("version", sa.SmallInteger, nullable=False),
        sa.Column("identifier", sa.Text, nullable=False),
        sa.Column("number", sa.Text, nullable=False),
        sa.Column("type_code", sa.Text, nullable=False),
        sa.Column("type_version", sa.Integer, nullable=False),
        sa.Column("type_name", JSONB, nullable=False),
        sa.Column("area_code", sa.Text, nullable=False),
        sa.Column("department_code", sa.Text, nullable=False),
        sa.Column("issuer_code", sa.Text, nullable=False),
        sa.Column("holder_kind", sa.Text, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("account_id", sa.Uuid),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("trust", sa.Text, nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("signed", sa.Boolean, nullable=False),
        sa.Column("issued_on", sa.Date, nullable=False),
        sa.Column("valid_from", sa.Date, nullable=False),
        sa.Column("valid_until", sa.Date),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("source_digest", sa.Text),
        sa.Column("case_id", sa.Uuid),
        sa.Column("case_number", sa.Text),
        sa.Column("matter_code", sa.Text),
        sa.Column("matter_name", sa.Text),
        sa.Column("created_at", STAMP, nullable=False),
        sa.Column("changed_at", STAMP, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_license"),
        sa.UniqueConstraint("identifier", name="uq_license_identifier"),
        sa.UniqueConstraint("case_id", name="uq_license_case_id"),
    )
    op.create_index(
        "ix_license_account",
        "license",
        ["account_id", "id"],
        postgresql_where=sa.text("account_id IS NOT NULL"),
    )
    op.create_index("ix_license_holder", "license", ["holder", "id"])
    op.create_index("ix_license_place", "license", ["area_code", "department_code", "id"])
    op.create_index(
        "ix_license_runs_out",
        "license",
        ["valid_until"],
        postgresql_where=sa.text("status IN ('01', '02') AND valid_until IS NOT NULL"),
    )
    op.create_index("ix_license_type_number", "license", ["type_code", "number"])
    op.create_index(
        "ix_license_unsigned",
        "license",
        ["area_code", "department_code", "type_code", "id"],
        postgresql_where=sa.text("NOT signed AND status = '01'"),
    )
    op.create_index(
        "uq_license_number",
        "license",
        ["area_code", "department_code", "type_code", "number"],
        unique=True,
    )
    op.create_table(
        "license_count",
        sa.Column("area_code", sa.Text, nullable=False),
        sa.Column("department_code", sa.Text, nullable=False),
        sa.Column("type_code", sa.Text, nullable=False),
        sa.Column("collected", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("issued", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("signed", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("uses", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("refused_uses", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("license_materials", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("licenses_used", sa.BigInteger, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint(
            "area_code", "department_code", "type_code", name="pk_license_count"
        ),
    )
    op.create_table(
        "license_counting",
        sa.Column("position", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("area_code", sa.Text, nullable=False),
        sa.Column("department_code", sa.Text, nullable=False),
        sa.Column("type_code", sa.Text, nullable=False),
        sa.Column("collected", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("issued", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("signed", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("uses", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("refused_uses", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("license_materials", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("licenses_used", sa.BigInteger, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("position", name="pk_license_counting"),
    )
    op.create_table(
        "license_type",
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("document", JSONB, nullable=False),
        sa.Column("published_at", STAMP, nullable=False),
        sa.PrimaryKeyConstraint("code", name="pk_license_type"),
    )
    op.create_table(
        "license_type_version",
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("document", JSONB, nullable=False),
        sa.Column("published_by", sa.Text, nullable=False),
        sa.Column("published_at", STAMP, nullable=False),
        sa.PrimaryKeyConstraint("code", "version", name="pk_license_type_version"),
    )
    op.create_table(
        "signing_job",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("area_code", sa.Text, nullable=False),
        sa.Column("department_code", sa.Text, nullable=False),
        sa.Column("type_code", sa.Text),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("done", sa.Integer, nullable=False),
        sa.Column("failed", sa.Integer, nullable=False),
        sa.Column("reached", sa.Uuid, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at", STAMP, nullable=False),
        sa.Column("finished_at", STAMP),
        sa.PrimaryKeyConstraint("id", name="pk_signing_job"),
    )
    op.create_index(
        "ix_signing_job_open",
        "signing_job",
        ["id"],
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_index("ix_signing_job_place", "signing_job", ["area_code", "department_code", "id"])
    op.create_table(
        "signing_key",
        sa.Column("kid", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("algorithm", sa.Text, nullable=False),
        sa.Column("private_key", BYTEA, nullable=False),
        sa.Column("public_key", JSONB, nullable=False),
        sa.Column("created_at", STAMP, nullable=False),
        sa.Column("retired_at", STAMP),
        sa.PrimaryKeyConstraint("kid", name="pk_signing_key"),
    )
    op.create_index(
        "uq_signing_key_current",
        "signing_key",
        ["state"],
        unique=True,
        postgresql_where=sa.text("state = 'current'"),
    )
    op.create_table(
        "license_step",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("license_id", sa.Uuid, nullable=False),
        sa.Column("act", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("version", sa.SmallInteger, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("at", STAMP, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_license_step"),
        sa.ForeignKeyConstraint(["license_id"], ["license.id"], name="fk_license_step_license_id"),
    )
    op.create_index("ix_license_step_license_id", "license_step", ["license_id", "id"])
    op.create_table(
        "license_use",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("license_id", sa.Uuid, nullable=False),
        sa.Column("case_id", sa.Uuid),
        sa.Column("case_number", sa.Text, nullable=False),
        sa.Column("matter_id", sa.Uuid),
        sa.Column("matter_code", sa.Text),
        sa.Column("matter_name", sa.Text),
        sa.Column("material_code", sa.Text),
        sa.Column("area_code", sa.Text, nullable=False),
        sa.Column("department_code", sa.Text, nullable=False),
        sa.Column("operator", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("authorisation_id", sa.Uuid),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("used_at", STAMP, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_license_use"),
        sa.UniqueConstraint("authorisation_id", name="uq_license_use_authorisation_id"),
        sa.ForeignKeyConstraint(["license_id"], ["license.id"], name="fk_license_use_license_id"),
    )
    op.create_index("ix_license_use_license_id", "license_use", ["license_id", "id"])
    op.create_index(
        "uq_license_use_case",
        "license_use",
        ["license_id", "case_id", "material_code"],
        unique=True,
        postgresql_where=sa.text("case_id IS NOT NULL"),
    )
    op.create_table(
        "license_version",
        sa.Column("license_id", sa.Uuid, nullable=False),
        sa.Column("version", sa.SmallInteger, nullable=False),
        sa.Column("identifier", sa.Text, nullable=False),
        sa.Column("previous", sa.Text),
        sa.Column("record", BYTEA, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("kid", sa.Text),
        sa.Column("signature", sa.Text),
        sa.Column("act", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("made_by", sa.Text, nullable=False),
        sa.Column("made_at", STAMP, nullable=False),
        sa.PrimaryKeyConstraint("license_id", "version", name="pk_license_version"),
        sa.ForeignKeyConstraint(
            ["license_id"], ["license.id"], name="fk_license_version_license_id"
        ),
        sa.UniqueConstraint("identifier", name="uq_license_version_identifier"),
    )
    op.create_table(
        "use_authorisation",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("license_id", sa.Uuid, nullable=False),
        sa.Column("code_hash", BYTEA, nullable=False),
        sa.Column("matter_code", sa.Text, nullable=False),
        sa.Column("given_by", sa.Text, nullable=False),
        sa.Column("given_at", STAMP, nullable=False),
        sa.Column("until", STAMP, nullable=False),
        sa.Column("used_at", STAMP),
        sa.Column("withdrawn_at", STAMP),
        sa.PrimaryKeyConstraint("id", name="pk_use_authorisation"),
        sa.UniqueConstraint("code_hash", name="uq_use_authorisation_code_hash"),
        sa.ForeignKeyConstraint(
            ["license_id"], ["license.id"], name="fk_use_authorisation_license_id"
        ),
    )
    op.create_index("ix_use_authorisation_license_id", "use_authorisation", ["license_id", "id"])


def downgrade() -> None:
    for table in (
        "use_authorisation",
        "license_version",
        "license_use",
        "license_step",
        "signing_key",
        "signing_job",
        "license_type_version",
        "license_type",
        "license_counting",
        "license_count",
        "license",
        "check_tries",
        "account_link",
    ):
        op.drop_table(table)
