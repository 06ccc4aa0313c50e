"""Prints of a license by its department."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.licenses.journal import Journal


async def record_print(
    session: AsyncSession, license_id: UUID, *, version: int, reason: str, now: datetime
) -> None:
    """Keep who printed the unmasked page, and why."""
    journal = Journal(now)
    journal.append_audit("license.print", object_id=license_id, reason=reason, version=version)
    await journal.write(session)
