"""差评整改: what follows from a bad rating."""

from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.model import Moment, Rating


async def follow_rating(session: AsyncSession, rating: Rating, at: Moment) -> None:
    """What a rating that was just stored leads to, in the same transaction."""
