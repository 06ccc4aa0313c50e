"""What time does: due rows are claimed, so that any number of replicas may run."""

from datetime import datetime, timedelta

from services.ratings.invitations.use_cases import sms
from services.ratings.invitations.use_cases.hotline_tries import forget_tries
from services.ratings.invitations.use_cases.visits import forget_uses
from services.ratings.publication import use_cases as publication
from services.ratings.tickets.use_cases.watch import Watched, watch_due
from shared import clock
from shared.database.session import Database

USES_KEPT = timedelta(days=2)


async def send_invitations(
    database: Database, now: datetime, *, sender: sms.SmsSender, public_url: str
) -> int:
    """Send all messages that wait, one transaction per batch; returns how many were looked at."""
    total = 0
    while True:
        async with database.transaction() as session:
            number = await sms.send_invitations(session, sender, public_url=public_url, now=now)
        # A batch that is not full may still be followed by new rows, so only an empty one ends it.
        total += number
        if number == 0:
            return total


async def forget(database: Database, now: datetime) -> None:
    """Delete the counts behind yesterday's limits."""
    async with database.transaction() as session:
        await forget_uses(session, before=now - USES_KEPT)
        await forget_tries(session, before=clock.local_date(now))


async def watch_tickets(database: Database, now: datetime) -> Watched:
    """Escalate and end every ticket whose day has come, one transaction per batch."""
    total = Watched()
    while True:
        async with database.transaction() as session:
            batch = await watch_due(session, now)
        total += batch
        if batch.tickets == 0:
            return total


async def publish_ratings(database: Database, now: datetime) -> int:
    """Publish all that may be read from today on, one transaction per batch; returns its number."""
    total = 0
    while True:
        async with database.transaction() as session:
            number = await publication.publish_due(session, now)
        total += number
        if number == 0:
            return total
