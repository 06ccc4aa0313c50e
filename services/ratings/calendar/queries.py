"""The calendar, remembered in this process by its version."""

from datetime import date
from uuid import UUID

from cachetools import LRUCache
from sqlalchemy import Uuid, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.calendar.model import CalendarVersion, Deadline, Deadlines
from shared.domain.workdays import WorkCalendar

CALENDAR = text(
    "SELECT version, (SELECT jsonb_object_agg(day, is_working) FROM calendar_day) AS days FROM calendar_version"
).columns(version=Uuid(), days=JSONB())

_calendars: LRUCache[UUID, WorkCalendar] = LRUCache(8)


async def get_calendar(session: AsyncSession) -> WorkCalendar:
    version = await session.scalar(select(CalendarVersion.version))
    known = _calendars.get(version) if version else None
    if known is None:
        row = (await session.execute(CALENDAR)).one()
        days = {date.fromisoformat(day): working for day, working in (row.days or {}).items()}
        known = _calendars[row.version] = WorkCalendar(days)
    return known


async def get_deadlines(session: AsyncSession) -> Deadlines:
    """Working days of every step: the city's where it has set them."""
    rows = await session.execute(select(Deadline.name, Deadline.days))
    known = Deadlines.names()
    return Deadlines(**{row.name: row.days for row in rows if row.name in known})
