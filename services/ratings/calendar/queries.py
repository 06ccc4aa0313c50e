"""Every SELECT of the calendar's version and the deadlines."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.calendar.model import CalendarVersion, Deadline, Deadlines


async def lock_calendar(session: AsyncSession) -> None:
    """Make whoever changes the calendar wait for the others who do."""
    _ = await session.scalar(select(CalendarVersion.version).with_for_update())


async def get_deadlines(session: AsyncSession) -> Deadlines:
    """Working days of every step: the city's where it has set them."""
    # Another version of this service may have stored names that this one does not know.
    rows = await session.execute(select(Deadline.name, Deadline.days))
    names = Deadlines.names()
    return Deadlines(**{name: days for name, days in rows if name in names})
