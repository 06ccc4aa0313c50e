"""Timers of identity."""

from datetime import datetime

from services.identity.use_cases.retention import delete_expired
from shared.database.session import Database


async def prune(database: Database, now: datetime) -> None:
    """Delete what nobody needs any more."""
    async with database.transaction() as session:
        await delete_expired(session, now)
