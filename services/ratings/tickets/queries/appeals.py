"""Every SELECT of appeals."""

from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.rating.model.rating import Rating
from services.ratings.tickets.model.appeal import Appeal
from shared.errors import NotFoundError


async def get_appeal(session: AsyncSession, appeal_id: UUID, *, lock: bool = False) -> Appeal:
    appeal = await session.get(Appeal, appeal_id, with_for_update=lock)
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
    area: str | None,
    department: str | None,
    after: tuple[date, UUID],
    limit: int,
) -> Sequence[Any]:
    """Appeals that wait for a reviewer, the most urgent first; never those of the reviewer's own `department`."""
    statement = select(Appeal).where(
        text("decided_on IS NULL"), tuple_(Appeal.review_due_on, Appeal.id) > tuple_(*after)
    )
    if area is not None:
        statement = statement.where(Appeal.area_code == area)
    if department is not None:
        statement = statement.where(Appeal.department_code != department)
    return (
        await session.scalars(statement.order_by(Appeal.review_due_on, Appeal.id).limit(limit + 1))
    ).all()


async def list_excluded(
    session: AsyncSession, area: str | None, after: tuple[date, UUID], limit: int
) -> Sequence[Any]:
    """Ratings that upheld appeals left out of the rates, by the day of the decision."""
    statement = (
        select(Rating, Appeal.decided_on)
        .join(Appeal, Appeal.rating_id == Rating.id)
        .where(text("appeal.decided_on IS NOT NULL AND appeal.refused_by IS NULL"))
        .where(tuple_(Appeal.decided_on, Appeal.rating_id) > tuple_(*after))
    )
    if area is not None:
        statement = statement.where(Appeal.area_code == area)
    statement = statement.order_by(Appeal.decided_on, Appeal.rating_id).limit(limit + 1)
    return (await session.scalars(statement)).all()
