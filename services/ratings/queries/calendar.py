"""The calendar, remembered in this process by its version."""

from datetime import date
from uuid import UUID

from sqlalchemy import Uuid, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.model.calendar import CalendarVersion
from shared.domain.workdays import WorkCalendar
from shared.runtime.lru import Memory

CALENDAR = text(
    "SELECT version, (SELECT jsonb_object_agg(day, is_working) FROM calendar_day) AS days FROM calendar_version"
).columns(version=Uuid(), days=JSONB())

_calendars: Memory[UUID, WorkCalendar] = Memory(8)


async def get_calendar(session: AsyncSession) -> WorkCalendar:
    version = await session.scalar(select(CalendarVersion.version))
    known = _calendars.get(version) if version else None
    if known is None:
        row = (await session.execute(CALENDAR)).one()
        days = {date.fromisoformat(day): working for day, working in (row.days or {}).items()}
        known = _calendars.put(row.version, WorkCalendar(days))
    return known
