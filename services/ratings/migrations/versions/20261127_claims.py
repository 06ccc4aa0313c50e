"""A service event of a case is one for each department that says so."""

from alembic import op

revision = "ratings_0006"
down_revision = "ratings_0005"


def upgrade() -> None:
    op.drop_constraint("uq_invitation_service_event", "invitation")
    op.create_unique_constraint(
        "uq_invitation_service_event",
        "invitation",
        ["case_number", "service_number", "area_code", "department_code"],
    )
