"""What a rating that was just given leads to: a ticket, and its publication."""

from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.calendar.queries import get_deadlines
from services.ratings.journal import Action, Entry, Journal
from services.ratings.publication.use_cases import plan_publication
from services.ratings.rating.model.grades import BORDERLINE
from services.ratings.rating.model.rating import Rating
from services.ratings.rating.model.suspicions import Suspicion
from services.ratings.tickets.model.ticket import Ticket
from services.ratings.tickets.queries import tickets
from shared.domain.workdays import Moment


def needs_ticket(rating: Rating) -> bool:
    """A bad rating, or a borderline one whose words complain."""
    if rating.is_bad:
        return True
    return rating.grade == BORDERLINE and Suspicion.BAD_TEXT in rating.suspicions


async def follow_rating(
    session: AsyncSession, rating: Rating, *, journal: Journal, at: Moment
) -> None:
    """Open a ticket where one is needed, and plan the publication of what has words or a ticket.

    The caller writes the journal.
    """
    days = await get_deadlines(session)
    if needs_ticket(rating):
        ticket = Ticket.about(rating)
        opened = ticket.open(rating, days=days, at=at)
        session.add(ticket)
        detail = {"grade": rating.grade}
        journal.append(Entry(Action.OPEN_TICKET, ticket.id, detail=detail), opened)
        # Shown once the ticket is closed, together with what was done.
        await plan_publication(session, rating, due_on=None)
    elif rating.masked_text:
        await plan_publication(session, rating, due_on=at.after(days.publish))


async def follow_supplement(session: AsyncSession, rating: Rating, *, at: Moment) -> None:
    """Plan the publication of a rating that had neither words nor a ticket until now."""
    is_first = len(rating.supplements) == 1
    # A rating that had words is planned already, and a second supplement changes nothing.
    if rating.masked_text or not is_first:
        return
    if await tickets.find_ticket_of(session, rating.id) is None:
        days = await get_deadlines(session)
        await plan_publication(session, rating, due_on=at.after(days.publish))
