"""Every SELECT of tickets."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.model_base import DuePlace, Scope
from services.ratings.rating.model.grades import Grade
from services.ratings.rating.model.rating import Rating
from services.ratings.rating.model.steps import TicketStep
from services.ratings.tickets.model.states import IS_RUNNING, TicketState
from services.ratings.tickets.model.ticket import Ticket
from shared.errors import NotFoundError


async def get_ticket(session: AsyncSession, ticket_id: UUID, *, lock: bool = False) -> Ticket:
    ticket = await session.get(Ticket, ticket_id, with_for_update=lock)
    if ticket is None:
        raise NotFoundError("no such ticket of yours")
    return ticket


async def find_ticket_of(session: AsyncSession, rating_id: UUID) -> Ticket | None:
    """The ticket of a rating, if it has one."""
    return await session.scalar(select(Ticket).where(Ticket.rating_id == rating_id))


class TicketStatus(NamedTuple):
    id: UUID
    state: TicketState


async def find_status_by_invitation(
    session: AsyncSession, invitation_id: UUID
) -> TicketStatus | None:
    """The ticket that an invitation's rating led to."""
    statement = select(Ticket.id, Ticket.state).join(Rating, Rating.id == Ticket.rating_id)
    found = await session.execute(statement.where(Rating.invitation_id == invitation_id))
    row = found.one_or_none()
    if row is None:
        return None
    return TicketStatus(*row)


async def list_steps(session: AsyncSession, ticket_id: UUID) -> Sequence[TicketStep]:
    statement = select(TicketStep).where(TicketStep.ticket_id == ticket_id).order_by(TicketStep.id)
    return (await session.scalars(statement)).all()


@dataclass(frozen=True, slots=True)
class TicketFilter:
    """Which open tickets: those in `scope`, acted on last by `handler`, due before a day."""

    scope: Scope
    handler: str | None = None
    due_before: date | None = None


class TicketRow(NamedTuple):
    """A ticket in a list."""

    id: UUID
    rating_id: UUID
    revision: int
    state: TicketState
    round: int
    area_code: str
    department_code: str
    grade: Grade
    opened_on: date
    next_due_on: date | None
    level: int
    matter_name: str | None
    hall: str | None
    window: str | None


TICKETS = select(
    Ticket.id,
    Ticket.rating_id,
    Ticket.revision,
    Ticket.state,
    Ticket.round,
    Ticket.area_code,
    Ticket.department_code,
    Ticket.grade,
    Ticket.opened_on,
    Ticket.next_due_on,
    Ticket.level,
    Rating.matter_name,
    Rating.hall,
    Rating.window,
).join(Rating, Rating.id == Ticket.rating_id)
"""The columns of `TicketRow`, in its order."""


async def list_work(
    session: AsyncSession, which: TicketFilter, *, after: DuePlace, limit: int
) -> list[TicketRow]:
    """Tickets that are not closed, the most urgent first; one more than `limit`."""
    # With the id, because many tickets are due on one day: a page must not lose any of them.
    place = tuple_(Ticket.next_due_on, Ticket.id)
    statement = TICKETS.where(text(IS_RUNNING), place > tuple_(*after))
    if which.scope.area_code is not None:
        statement = statement.where(Ticket.area_code == which.scope.area_code)
    if which.scope.department_code is not None:
        statement = statement.where(Ticket.department_code == which.scope.department_code)
    if which.handler is not None:
        statement = statement.where(Ticket.handler == which.handler)
    if which.due_before is not None:
        statement = statement.where(Ticket.next_due_on < which.due_before)
    statement = statement.order_by(Ticket.next_due_on, Ticket.id).limit(limit + 1)
    return [TicketRow(*row) for row in await session.execute(statement)]


async def list_own(
    session: AsyncSession,
    account_id: UUID,
    *,
    matters: frozenset[str] | None,
    after: UUID,
    limit: int,
) -> list[TicketRow]:
    """Tickets of an account's bad ratings, in the order they were opened; one more than `limit`.

    All of them, or those in `matters` (ids).
    """
    statement = TICKETS.where(Ticket.account_id == account_id, Ticket.id > after)
    if matters is not None:
        statement = statement.where(Rating.matter_id.in_([UUID(matter) for matter in matters]))
    statement = statement.order_by(Ticket.id).limit(limit + 1)
    return [TicketRow(*row) for row in await session.execute(statement)]


async def list_watched(session: AsyncSession, today: date, *, limit: int) -> Sequence[Ticket]:
    """Tickets on which time acts today, claimed for this worker."""
    statement = select(Ticket).where(Ticket.watch_on <= today).order_by(Ticket.watch_on, Ticket.id)
    return (await session.scalars(statement.limit(limit).with_for_update(skip_locked=True))).all()
