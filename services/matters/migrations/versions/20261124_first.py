"""First tables of matters."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB, TSVECTOR

from shared.database.migrations import create_platform_tables_v1

revision = "matters_0001"
down_revision = None


def upgrade() -> None:
    create_platform_tables_v1(op)
    stamp = sa.DateTime(timezone=True)
    op.create_table(
        "area",
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("name", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("code", name="pk_area"),
    )
    op.create_table(
        "department",
        sa.Column("area_code", sa.Text, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("name", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("area_code", "code", name="pk_department"),
        sa.ForeignKeyConstraint(["area_code"], ["area.code"], name="fk_department_area_code"),
    )
    op.create_table(
        "matter",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("area_code", sa.Text, nullable=False),
        sa.Column("department_code", sa.Text, nullable=False),
        sa.Column("identity", sa.Text, nullable=False),
        sa.Column("published_version", sa.Integer),
        sa.Column("draft_version", sa.Integer),
        sa.Column("reviewing", sa.Boolean, nullable=False),
        sa.Column("content_hash", BYTEA),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("name_bo", sa.Text),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("level", sa.SmallInteger, nullable=False),
        sa.Column("visits", sa.SmallInteger, nullable=False),
        sa.Column("situational", sa.Boolean, nullable=False),
        sa.Column("object_types", ARRAY(sa.Text), nullable=False),
        sa.Column("topics", ARRAY(sa.Text), nullable=False),
        sa.Column("haystack", sa.Text, nullable=False),
        sa.Column("search", TSVECTOR, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_matter"),
    )
    published = {"postgresql_where": sa.text("state = 'published'")}
    op.create_index(
        "uq_matter_identity", "matter", ["area_code", "department_code", "identity"], unique=True
    )
    op.create_index(
        "ix_matter_search",
        "matter",
        ["search"],
        postgresql_using="gin",
        postgresql_with={"fastupdate": "off"},
    )
    op.create_index(
        "ix_matter_name", "matter", ["name"], postgresql_ops={"name": "text_pattern_ops"}
    )
    op.create_index(
        "ix_matter_listed", "matter", ["area_code", "department_code", "id"], **published
    )
    op.create_index("ix_matter_all", "matter", ["id"], **published)
    op.create_table(
        "matter_version",
        sa.Column("matter_id", sa.Uuid, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("document", JSONB, nullable=False),
        sa.Column("written_by", sa.Text, nullable=False),
        sa.Column("written_at", stamp, nullable=False),
        sa.Column("published_at", stamp),
        sa.PrimaryKeyConstraint("matter_id", "version", name="pk_matter_version"),
        sa.ForeignKeyConstraint(["matter_id"], ["matter.id"], name="fk_matter_version_matter_id"),
    )
    op.create_table(
        "import_run",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("filename", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("at", stamp, nullable=False),
        *(
            sa.Column(name, sa.Integer, nullable=False)
            for name in ("accepted", "changed", "unchanged", "refused")
        ),
        sa.PrimaryKeyConstraint("id", name="pk_import_run"),
    )
    op.create_table(
        "import_row",
        sa.Column("import_id", sa.Uuid, nullable=False),
        sa.Column("row", sa.Integer, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("identity", sa.Text, nullable=False),
        sa.Column("errors", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("import_id", "row", name="pk_import_row"),
        sa.ForeignKeyConstraint(["import_id"], ["import_run.id"], name="fk_import_row_import_id"),
    )


def downgrade() -> None:
    for table in ("import_row", "import_run", "matter_version", "matter", "department", "area"):
        op.drop_table(table)
