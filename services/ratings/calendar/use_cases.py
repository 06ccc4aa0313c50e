"""The calendar follows that of cases."""

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.calendar import queries
from services.ratings.calendar.model import CalendarVersion
from shared.database.direct import command
from shared.events.cases import CalendarChanged
from shared.ids import new_id

SET_DAYS = command(
    "INSERT INTO calendar_day (day, is_working, note)"
    " SELECT d.day, d.is_working, ''"
    " FROM unnest(CAST(:days AS date[]), CAST(:working AS bool[])) AS d (day, is_working)"
    " ON CONFLICT (day) DO UPDATE SET is_working = excluded.is_working"
)


async def change_days(session: AsyncSession, event: CalendarChanged) -> None:
    """Set these days; the new version makes every process read the calendar again."""
    await queries.lock_calendar(session)
    days = list(event.days)
    working = list(event.days.values())
    await SET_DAYS.execute(session, days=days, working=working)
    # Any new value will do: processes compare it with the one they know.
    _ = await session.execute(update(CalendarVersion).values(version=new_id()))
