"""Recovery, catching up, and the event number of each copy."""

from alembic import op

from shared.database.migrations import create_platform_tables_v4

revision = "cases_0019"
down_revision = "cases_0018"


def upgrade() -> None:
    create_platform_tables_v4(op)  # pyright: ignore[reportArgumentType]
    # Empty where the copy was written by its revision; then that counts.
    for copy in ("license_copy", "matter_copy", "bundle_copy"):
        op.execute(f"ALTER TABLE {copy} ADD COLUMN event_number bigint")
