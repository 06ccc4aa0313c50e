"""The calendar follows that of cases."""

from typing import Any

from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.calendar.model import CalendarVersion
from shared.events.cases import CalendarChanged
from shared.ids import new_id

SET_DAYS = text(
    "INSERT INTO calendar_day (day, is_working, note)"
    " SELECT d.day, d.is_working, '' FROM unnest(CAST(:days AS date[]), CAST(:working AS bool[])) AS d (day, is_working)"
    " ON CONFLICT (day) DO UPDATE SET is_working = excluded.is_working"
)


async def change_days(session: AsyncSession, event: CalendarChanged) -> None:
    """Set these days; the new version tells every process to read again."""
    _ = await session.scalar(select(CalendarVersion.version).with_for_update())
    values: dict[str, Any] = {"days": list(event.days), "working": list(event.days.values())}
    _ = await session.execute(SET_DAYS, values)
    _ = await session.execute(update(CalendarVersion).values(version=new_id()))
