"""Every SELECT of ratings."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.model_base import Office
from services.ratings.rating.model.rating import Rating
from shared.errors import NotFoundError


async def get_rating(session: AsyncSession, rating_id: UUID, *, lock: bool = False) -> Rating:
    rating = await session.get(Rating, rating_id, with_for_update=lock)
    if rating is None:
        raise NotFoundError("no such rating of yours")
    return rating


async def lock_ratings(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, Rating]:
    """These ratings by id, locked in the order of their ids."""
    # In one order everywhere, so that no two workers wait for each other.
    statement = select(Rating).where(Rating.id.in_(ids)).order_by(Rating.id).with_for_update()
    return {rating.id: rating for rating in await session.scalars(statement)}


async def find_rating_of(session: AsyncSession, invitation_id: UUID) -> Rating | None:
    return await session.scalar(select(Rating).where(Rating.invitation_id == invitation_id))


async def list_ratings_of(
    session: AsyncSession, invitation_ids: Sequence[UUID]
) -> Sequence[Rating]:
    statement = select(Rating).where(Rating.invitation_id.in_(invitation_ids))
    return (await session.scalars(statement)).all()


async def list_mine(
    session: AsyncSession, account_id: UUID, *, after: UUID, limit: int
) -> Sequence[Rating]:
    """Ratings of an account, oldest first; one more than `limit`."""
    statement = select(Rating).where(Rating.account_id == account_id, Rating.id > after)
    return (await session.scalars(statement.order_by(Rating.id).limit(limit + 1))).all()


async def list_suspect(
    session: AsyncSession, office: Office, *, after: UUID, limit: int
) -> Sequence[Rating]:
    """Ratings of a department that somebody should look at, oldest first; one more than `limit`."""
    statement = select(Rating).where(
        Rating.area_code == office.area_code,
        Rating.department_code == office.department_code,
        # As text, so that the planner sees the condition of the partial index.
        text("suspicions <> '{}'"),
        Rating.id > after,
    )
    return (await session.scalars(statement.order_by(Rating.id).limit(limit + 1))).all()
