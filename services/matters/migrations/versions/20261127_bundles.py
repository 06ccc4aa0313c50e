"""One-thing bundles, and records of supervision with their counters."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR

revision = "matters_0004"
down_revision = "matters_0003"

TEXTS = ("area_code", "department_code", "source", "source_number")


def upgrade() -> None:
    op.create_table(
        "bundle",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        *(
            sa.Column(n, sa.Text, nullable=False)
            for n in ("state", "code", "area_code", "department_code", "name")
        ),
        sa.Column("name_bo", sa.Text),
        sa.Column("published_version", sa.Integer),
        sa.Column("draft_version", sa.Integer),
        sa.Column("matters", ARRAY(sa.Uuid), nullable=False),
        sa.Column("search", TSVECTOR, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_bundle"),
    )
    op.create_index("uq_bundle_code", "bundle", ["area_code", "code"], unique=True)
    op.create_index("ix_bundle_search", "bundle", ["search"], postgresql_using="gin")
    op.create_index(
        "ix_bundle_listed", "bundle", ["id"], postgresql_where=sa.text("state = 'published'")
    )
    op.create_index(
        "ix_bundle_drafts", "bundle", ["id"], postgresql_where=sa.text("draft_version IS NOT NULL")
    )
    op.create_table(
        "bundle_version",
        sa.Column("bundle_id", sa.Uuid, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("document", JSONB, nullable=False),
        sa.Column("written_by", sa.Text, nullable=False),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("bundle_id", "version", name="pk_bundle_version"),
        sa.ForeignKeyConstraint(
            ["bundle_id"], ["bundle.id"], name="fk_bundle_version_bundle_id_bundle"
        ),
    )
    op.create_table(
        "supervision_record",
        *(sa.Column(name, sa.Text, nullable=False) for name in TEXTS),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("content_hash", sa.LargeBinary, nullable=False),
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("regulatory_code", "behaviour", "object_kind", "object", "result")
        ),
        sa.Column("done_on", sa.Date, nullable=False),
        sa.Column("officers", sa.SmallInteger, nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint(*TEXTS, name="pk_supervision_record"),
        sa.UniqueConstraint("id", name="uq_supervision_record_id"),
    )
    op.create_table(
        "supervision_count",
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("area_code", "department_code", "behaviour")
        ),
        sa.Column("records", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint(
            "area_code", "department_code", "behaviour", name="pk_supervision_count"
        ),
    )


def downgrade() -> None:
    for table in ("supervision_count", "supervision_record", "bundle_version", "bundle"):
        op.drop_table(table)
