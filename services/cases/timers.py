"""Time in: due rows lead to use cases, claimed so that any number of replicas may run."""

from datetime import datetime

from services.cases import use_cases
from shared.db import Database


async def deem_accepted(database: Database, now: datetime) -> int:
    """All silent cases, batch by batch, a transaction each; their number."""
    total = 0
    while True:
        async with database.transaction() as session:
            number = await use_cases.deem_accepted(session, now)
        total += number
        if number == 0:
            return total
