"""Rates of norms §1.7, kept exact with every change."""

from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.model import Rating


async def count_rating(session: AsyncSession, rating: Rating, change: int) -> None:
    """Count a rating in (1) or, when an appeal excludes it, out (-1), in the transaction of the change."""
