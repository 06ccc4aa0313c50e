"""Mandates, and sessions opened under one."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA

revision = "identity_0004"
down_revision = "identity_0003"

STAMP = sa.DateTime(timezone=True)


def need(name: str, kind: object) -> sa.Column[object]:
    return sa.Column(name, kind, nullable=False)


def upgrade() -> None:
    op.create_table(
        "mandate",
        need("id", sa.Uuid),
        need("revision", sa.Integer),
        need("principal_id", sa.Uuid),
        need("principal_kind", sa.Text),
        need("principal_name", BYTEA),
        need("agent_name", BYTEA),
        need("agent_id_hash", BYTEA),
        sa.Column("agent_id", sa.Uuid),
        sa.Column("matters", ARRAY(sa.Uuid)),
        need("valid_until", sa.Date),
        need("created_at", STAMP),
        sa.Column("accepted_at", STAMP),
        sa.Column("ended_at", STAMP),
        sa.Column("end_reason", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_mandate"),
        *(
            sa.ForeignKeyConstraint([name], ["account.id"], name=f"fk_mandate_{name}")
            for name in ("principal_id", "agent_id")
        ),
    )
    op.create_index("ix_mandate_principal", "mandate", ["principal_id", "id"])
    op.create_index("ix_mandate_agent", "mandate", ["agent_id_hash", "id"])
    op.alter_column("session", "organisation_id", new_column_name="principal_id")
    op.execute(
        "ALTER TABLE session"
        " RENAME CONSTRAINT fk_session_organisation_id TO fk_session_principal_id"
    )
    op.add_column("session", sa.Column("mandate_id", sa.Uuid))
    op.create_foreign_key("fk_session_mandate_id", "session", "mandate", ["mandate_id"], ["id"])


def downgrade() -> None:
    op.execute("DELETE FROM session WHERE mandate_id IS NOT NULL")
    op.drop_column("session", "mandate_id")
    op.alter_column("session", "principal_id", new_column_name="organisation_id")
    op.execute(
        "ALTER TABLE session"
        " RENAME CONSTRAINT fk_session_principal_id TO fk_session_organisation_id"
    )
    op.drop_table("mandate")
