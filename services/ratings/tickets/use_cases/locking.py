"""A locked ticket with everything that an act on it needs, and how an act is recorded."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.calendar.model import Deadlines
from services.ratings.calendar.queries import get_deadlines
from services.ratings.journal import Journal, Step
from services.ratings.publication.use_cases import plan_publication
from services.ratings.rating.model.rating import Rating
from services.ratings.rating.model.steps import TicketAct
from services.ratings.rating.queries import get_rating
from services.ratings.statistics.model.counts import Figures
from services.ratings.tickets.model.appeal import Appeal
from services.ratings.tickets.model.figures import figures
from services.ratings.tickets.model.ticket import Ticket
from services.ratings.tickets.queries import appeals, tickets
from shared.database.acts import Act
from shared.domain.workdays import Moment
from shared.errors import NotFoundError
from shared.events.base import Event
from shared.http.etags import check_version
from shared.security.tokens import Caller


@dataclass(frozen=True, slots=True)
class LockedTicket:
    """A locked ticket, its locked rating, and what the rating counted for before the act."""

    ticket: Ticket
    rating: Rating
    appeal: Appeal | None
    days: Deadlines
    before: Figures
    journal: Journal

    async def record(
        self,
        act: TicketAct,
        *events: Event,
        at: Moment,
        officer: str | None = None,
        outcome: StrEnum | None = None,
        words: str | None = None,
    ) -> Ticket:
        """Write step, audit row, events and counters of an act that has changed the ticket."""
        ticket = self.ticket
        code = None if outcome is None else outcome.value
        # Every act may start or stop a clock.
        ticket.watch(self.days, at)
        step = Step(
            ticket_id=ticket.id,
            round=ticket.round,
            act=act,
            at=at.now,
            officer=officer,
            outcome=code,
            words=words,
        )
        detail = {"outcome": code, "revision": ticket.revision}
        self.journal.append_step(step, *events, detail=detail)
        self.count()
        await self.journal.write()
        return ticket

    def count(self) -> None:
        """Bring the counters up to date when the journal is written."""
        after = figures(self.rating, self.ticket, appeal=self.appeal)
        self.journal.count_rating(self.rating, before=self.before, after=after)


async def lock_rest(session: AsyncSession, ticket: Ticket) -> LockedTicket:
    """Lock the rating of a locked ticket, in this order everywhere."""
    rating = await get_rating(session, ticket.rating_id, lock=True)
    appeal = await appeals.find_appeal(session, ticket.id)
    days = await get_deadlines(session)
    # Counted before the act changes anything; `count` adds the difference.
    before = figures(rating, ticket, appeal=appeal)
    return LockedTicket(ticket, rating, appeal, days, before, Journal(session))


def check_office(ticket: Ticket, caller: Caller) -> None:
    """Raise `NotFoundError` for officers of other departments."""
    if ticket.office != (caller.area, caller.department):
        raise NotFoundError("no such ticket of yours")


async def lock_for(act: Act[Moment], ticket_id: UUID) -> LockedTicket:
    """A ticket of the officer's department, at the version that the officer has read."""
    ticket = await tickets.get_ticket(act.session, ticket_id, lock=True)
    check_office(ticket, act.caller)
    check_version(ticket.revision, expected=act.expected)
    return await lock_rest(act.session, ticket)


async def close_ticket(session: AsyncSession, locked: LockedTicket, *, at: Moment) -> None:
    """The end of a ticket: from now the days until publication run."""
    locked.ticket.close(at)
    due_on = at.after(locked.days.publish)
    await plan_publication(session, locked.rating, due_on=due_on)
