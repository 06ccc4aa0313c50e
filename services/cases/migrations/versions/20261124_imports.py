"""Cases pushed by bureaus' own systems."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "cases_0002"
down_revision = "cases_0001"

KEY = ("area_code", "department_code", "source_system", "source_number")


def upgrade() -> None:
    op.create_table(
        "imported_case",
        *(sa.Column(name, sa.Text, nullable=False) for name in KEY),
        sa.Column("case_id", sa.Uuid, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("record", JSONB, nullable=False),
        sa.Column("imported_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint(*KEY, name="pk_imported_case"),
        sa.UniqueConstraint("case_id", name="uq_imported_case_case_id"),
    )


def downgrade() -> None:
    op.drop_table("imported_case")
