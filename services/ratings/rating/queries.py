"""Ratings."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.rating.model.rating import Rating
from shared.errors import NotFoundError


async def get_rating(session: AsyncSession, rating_id: UUID, *, lock: bool = False) -> Rating:
    rating = await session.get(Rating, rating_id, with_for_update=lock)
    if rating is None:
        raise NotFoundError("no such rating of yours")
    return rating


async def find_rating_of(session: AsyncSession, invitation_id: UUID) -> Rating | None:
    return await session.scalar(select(Rating).where(Rating.invitation_id == invitation_id))


async def list_ratings_of(
    session: AsyncSession, invitation_ids: Sequence[UUID]
) -> Sequence[Rating]:
    return (
        await session.scalars(select(Rating).where(Rating.invitation_id.in_(invitation_ids)))
    ).all()


async def list_mine(
    session: AsyncSession, account_id: UUID, after: UUID, limit: int
) -> Sequence[Rating]:
    """Ratings of an account, oldest first."""
    statement = select(Rating).where(Rating.account_id == account_id, Rating.id > after)
    return (await session.scalars(statement.order_by(Rating.id).limit(limit + 1))).all()


async def list_suspect(
    session: AsyncSession, area: str, department: str, after: UUID, limit: int
) -> Sequence[Rating]:
    """Ratings of a department at which somebody should look, oldest first."""
    statement = select(Rating).where(
        Rating.area_code == area,
        Rating.department_code == department,
        text("suspicions <> '{}'"),
        Rating.id > after,
    )
    return (await session.scalars(statement.order_by(Rating.id).limit(limit + 1))).all()
