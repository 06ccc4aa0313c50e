"""Every SELECT of tickets."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.invitations.model.invitation import Invitation
from services.ratings.rating.model.rating import Rating
from services.ratings.tickets.model.states import IS_RUNNING
from services.ratings.tickets.model.ticket import Ticket, TicketStep
from shared.errors import NotFoundError


async def get_ticket(session: AsyncSession, ticket_id: UUID, *, lock: bool = False) -> Ticket:
    ticket = await session.get(Ticket, ticket_id, with_for_update=lock)
    if ticket is None:
        raise NotFoundError("no such ticket of yours")
    return ticket


async def find_ticket_of(session: AsyncSession, rating_id: UUID) -> Ticket | None:
    """The ticket of a rating, if it has one."""
    return await session.scalar(select(Ticket).where(Ticket.rating_id == rating_id))


async def find_ticket_by_invitation(session: AsyncSession, invitation_id: UUID) -> Any | None:
    """Id and state of the ticket that an invitation's rating led to."""
    statement = select(Ticket.id, Ticket.state).join(Rating, Rating.id == Ticket.rating_id)
    return (
        await session.execute(statement.where(Rating.invitation_id == invitation_id))
    ).one_or_none()


async def get_rating(session: AsyncSession, rating_id: UUID, *, lock: bool = False) -> Rating:
    rating = await session.get(Rating, rating_id, with_for_update=lock)
    if rating is None:
        raise NotFoundError("no such rating of yours")
    return rating


async def list_ratings(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, Rating]:
    """These ratings, locked in one order."""
    statement = select(Rating).where(Rating.id.in_(ids)).order_by(Rating.id).with_for_update()
    return {rating.id: rating for rating in await session.scalars(statement)}


async def find_invitation(session: AsyncSession, rating: Rating) -> Invitation | None:
    """Who was asked; nobody known where a pre-issued token was used."""
    return await session.get(Invitation, rating.invitation_id)


async def list_steps(session: AsyncSession, ticket_id: UUID) -> Sequence[TicketStep]:
    statement = select(TicketStep).where(TicketStep.ticket_id == ticket_id).order_by(TicketStep.id)
    return (await session.scalars(statement)).all()


@dataclass(frozen=True, slots=True)
class TicketFilter:
    """Whose tickets: `area`, `department` None for all; `handler`: only what this one acted on last."""

    area: str | None
    department: str | None
    handler: str | None = None
    due_before: date | None = None


COLUMNS = (
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
)


def _joined() -> Any:
    return select(*COLUMNS).join(Rating, Rating.id == Ticket.rating_id)


async def list_work(
    session: AsyncSession, which: TicketFilter, after: tuple[date, UUID], limit: int
) -> Sequence[Any]:
    """Tickets that are not closed, the most urgent first."""
    statement = _joined().where(
        text(IS_RUNNING), tuple_(Ticket.next_due_on, Ticket.id) > tuple_(*after)
    )
    if which.area is not None:
        statement = statement.where(Ticket.area_code == which.area)
    if which.department is not None:
        statement = statement.where(Ticket.department_code == which.department)
    if which.handler is not None:
        statement = statement.where(Ticket.handler == which.handler)
    if which.due_before is not None:
        statement = statement.where(Ticket.next_due_on < which.due_before)
    return (
        await session.execute(statement.order_by(Ticket.next_due_on, Ticket.id).limit(limit + 1))
    ).all()


async def list_own(
    session: AsyncSession, account_id: UUID, matters: frozenset[str] | None, after: UUID, limit: int
) -> Sequence[Any]:
    """Tickets of an account's bad ratings, all or those in `matters` (ids), in the order they were opened."""
    statement = _joined().where(Ticket.account_id == account_id, Ticket.id > after)
    if matters is not None:
        statement = statement.where(Rating.matter_id.in_([UUID(one) for one in matters]))
    return (await session.execute(statement.order_by(Ticket.id).limit(limit + 1))).all()


async def list_watched(session: AsyncSession, today: date, limit: int) -> Sequence[Ticket]:
    """Tickets on which time acts today, claimed for this worker."""
    statement = select(Ticket).where(Ticket.watch_on <= today).order_by(Ticket.watch_on, Ticket.id)
    return (await session.scalars(statement.limit(limit).with_for_update(skip_locked=True))).all()
