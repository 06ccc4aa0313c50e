"""Every SELECT of appeals."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.model_base import DuePlace
from services.ratings.rating.model.rating import Rating
from services.ratings.tickets.model.appeal import PENDING, Appeal
from shared.errors import NotFoundError


async def get_appeal(session: AsyncSession, appeal_id: UUID) -> Appeal:
    appeal = await session.get(Appeal, appeal_id)
    if appeal is None:
        raise NotFoundError("no such appeal of yours")
    return appeal


async def find_appeal(session: AsyncSession, ticket_id: UUID) -> Appeal | None:
    return await session.scalar(select(Appeal).where(Appeal.ticket_id == ticket_id))


async def find_appeals(session: AsyncSession, ticket_ids: Sequence[UUID]) -> dict[UUID, Appeal]:
    """The appeals of these tickets, by ticket."""
    found = await session.scalars(select(Appeal).where(Appeal.ticket_id.in_(ticket_ids)))
    return {appeal.ticket_id: appeal for appeal in found}


async def list_pending(
    session: AsyncSession,
    *,
    area: str | None,
    department: str,
    after: DuePlace,
    limit: int,
) -> Sequence[Appeal]:
    """Appeals that wait for a reviewer, the most urgent first; one more than `limit`.

    Never those of the reviewer's own `department`.
    """
    place = tuple_(Appeal.review_due_on, Appeal.id)
    statement = select(Appeal).where(text(PENDING), place > tuple_(*after))
    statement = statement.where(Appeal.department_code != department)
    if area is not None:
        statement = statement.where(Appeal.area_code == area)
    statement = statement.order_by(Appeal.review_due_on, Appeal.id).limit(limit + 1)
    return (await session.scalars(statement)).all()


async def list_excluded(
    session: AsyncSession, *, area: str | None, after: DuePlace, limit: int
) -> Sequence[Rating]:
    """Ratings that upheld appeals left out of the rates, by the day of the decision."""
    place = tuple_(Appeal.decided_on, Appeal.rating_id)
    statement = (
        select(Rating)
        .join(Appeal, Appeal.rating_id == Rating.id)
        # As text, so that the planner sees the condition of the partial index.
        .where(text("appeal.decided_on IS NOT NULL AND appeal.refused_by IS NULL"))
        .where(place > tuple_(*after))
    )
    if area is not None:
        statement = statement.where(Appeal.area_code == area)
    statement = statement.order_by(Appeal.decided_on, Appeal.rating_id).limit(limit + 1)
    return (await session.scalars(statement)).all()
