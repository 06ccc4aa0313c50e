"""Time in: what leads to a use case when it is due."""

from datetime import datetime

from services.identity.use_cases import prune as pruning
from shared.database.session import Database


async def prune(database: Database, now: datetime) -> None:
    async with database.transaction() as session:
        await pruning.prune(session, now)
