"""Time in: what leads to a use case when it is due."""

from datetime import datetime

from services.identity import use_cases
from shared.db import Database


async def prune(database: Database, now: datetime) -> None:
    async with database.transaction() as session:
        await use_cases.prune(session, now)
