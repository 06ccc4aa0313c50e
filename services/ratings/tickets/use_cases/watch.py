"""What time alone does to tickets: escalations, and the end of those that the rater left silent."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.calendar.queries import get_deadlines
from services.ratings.journal import Action, Entry, Journal
from services.ratings.rating.queries import lock_ratings
from services.ratings.tickets.model.figures import figures
from services.ratings.tickets.model.states import TicketState
from services.ratings.tickets.queries import appeals, tickets
from services.ratings.tickets.use_cases.locking import LockedTicket, close_ticket
from shared.database.calendar import get_calendar
from shared.domain.workdays import Moment

BATCH = 200


@dataclass(frozen=True, slots=True)
class Watched:
    """How many tickets were looked at, escalated (once for each clock and level) and closed."""

    tickets: int = 0
    escalated: int = 0
    closed: int = 0

    def __add__(self, other: "Watched") -> "Watched":
        return Watched(
            tickets=self.tickets + other.tickets,
            escalated=self.escalated + other.escalated,
            closed=self.closed + other.closed,
        )


async def watch_due(session: AsyncSession, now: datetime) -> Watched:
    """Escalate what ran out and close what is silent: one batch, claimed for this worker."""
    at = Moment(now, await get_calendar(session))
    found = await tickets.list_watched(session, at.today, limit=BATCH)
    if not found:
        return Watched()
    days = await get_deadlines(session)
    # After the tickets: every act locks the ticket first, then its rating.
    ratings = await lock_ratings(session, [ticket.rating_id for ticket in found])
    known_appeals = await appeals.find_appeals(session, [ticket.id for ticket in found])
    journal = Journal(session)
    watched = Watched()
    for ticket in found:
        rating = ratings[ticket.rating_id]
        appeal = known_appeals.get(ticket.id)
        before = figures(rating, ticket, appeal=appeal)
        locked = LockedTicket(ticket, rating, appeal, days, before, journal)
        watched += await _watch_one(session, locked, at=at)
    await journal.write()
    return watched


async def _watch_one(session: AsyncSession, locked: LockedTicket, *, at: Moment) -> Watched:
    ticket = locked.ticket
    escalations = ticket.escalate(locked.rating, days=locked.days, at=at)
    for escalation in escalations:
        detail = {"clock": escalation.clock, "level": escalation.level}
        entry = Entry(Action.ESCALATE_TICKET, ticket.id, detail=detail)
        locked.journal.append(entry, escalation)
    if ticket.is_silent(at):
        # Closing by silence is a version of its own, so that an officer's old page is refused.
        ticket.revision += 1
        await close_ticket(session, locked, at=at)
        entry = Entry(Action.CLOSE_TICKET, ticket.id, detail={"outcome": "silent"})
        locked.journal.append(entry)
    ticket.watch(locked.days, at)
    locked.count()
    is_closed = ticket.state == TicketState.CLOSED
    return Watched(tickets=1, escalated=len(escalations), closed=int(is_closed))
