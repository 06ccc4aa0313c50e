"""Changes of many licenses in one statement."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.licenses.model.license import License, LicenseRow
from services.licenses.model.states import Status


async def update_licenses(
    session: AsyncSession,
    which: Select[UUID],
    *,
    now: datetime,
    values: dict[str, Status | ColumnElement[UUID]],
) -> list[LicenseRow]:
    """Change the licenses whose ids `which` selects and locks; each revision rises by one.

    Entities of these licenses in the session do not see the change. Returns the licenses as they
    are afterwards.
    """
    statement = (
        update(License)
        .where(License.id.in_(which.scalar_subquery()))
        .values(revision=License.revision + 1, changed_at=now, **values)
        .returning(*License.__table__.columns)
        .execution_options(synchronize_session=False)
    )
    return [LicenseRow(*row) for row in await session.execute(statement)]
