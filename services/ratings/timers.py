"""Time in: what leads to a use case when it is due."""

from datetime import datetime, timedelta

from services.ratings import queries, use_cases
from services.ratings.model import Moment
from shared.db import Database


async def send_invitations(database: Database, now: datetime, sender: use_cases.SmsSender, public_url: str) -> int:
    """All messages that wait, batch by batch, a transaction each; how many were looked at."""
    total = 0
    while True:
        async with database.transaction() as session:
            number = await use_cases.send_invitations(session, sender, public_url, now)
        total += number
        if number == 0:
            return total


async def forget(database: Database, now: datetime) -> None:
    """Budgets of yesterday."""
    async with database.transaction() as session:
        await use_cases.forget_uses(session, now - timedelta(days=2))
        await use_cases.forget_tries(session, Moment(now, await queries.get_calendar(session)))
