"""Time in: due rows lead to use cases, claimed so that any number of replicas may run."""

from datetime import datetime, timedelta

from services.ratings.calendar import queries as calendar_queries
from services.ratings.invitations.credentials import find, window_code
from services.ratings.invitations.use_cases import sms
from services.ratings.publication import use_cases as publication
from services.ratings.tickets.use_cases import tickets
from services.ratings.tickets.use_cases.tickets import Watched
from shared.database.session import Database
from shared.domain.workdays import Moment


async def send_invitations(
    database: Database, now: datetime, sender: sms.SmsSender, public_url: str
) -> int:
    """All messages that wait, batch by batch, a transaction each; how many were looked at."""
    total = 0
    while True:
        async with database.transaction() as session:
            number = await sms.send_invitations(session, sender, public_url, now)
        total += number
        if number == 0:
            return total


async def forget(database: Database, now: datetime) -> None:
    """Budgets of yesterday."""
    async with database.transaction() as session:
        await window_code.forget_uses(session, now - timedelta(days=2))
        await find.forget_tries(session, Moment(now, await calendar_queries.get_calendar(session)))


async def watch_tickets(database: Database, now: datetime) -> Watched:
    """Escalations and silent ends of every ticket whose day has come, batch by batch, a transaction each."""
    total = Watched()
    while True:
        async with database.transaction() as session:
            batch = await tickets.watch_due(session, now)
        total = Watched(
            total.tickets + batch.tickets,
            total.escalated + batch.escalated,
            total.closed + batch.closed,
        )
        if batch.tickets == 0:
            return total


async def publish_ratings(database: Database, now: datetime) -> int:
    """Everything that may be read from today on, batch by batch; its number."""
    total = 0
    while True:
        async with database.transaction() as session:
            number = await publication.publish_due(session, now)
        total += number
        if number == 0:
            return total
