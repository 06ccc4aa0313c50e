"""Every SELECT about the calendar."""

from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

from cachetools import LRUCache
from sqlalchemy import Uuid, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.calendar.model import CalendarDay, CalendarVersion
from shared.domain.workdays import WorkCalendar

CALENDAR = text(
    "SELECT version, (SELECT jsonb_object_agg(day, is_working) FROM calendar_day) AS days FROM calendar_version"
).columns(version=Uuid(), days=JSONB())
NEWEST: Any = CalendarVersion.__table__.c.version
_calendars: LRUCache[UUID, WorkCalendar] = LRUCache(8)


async def get_calendar(session: AsyncSession, version: UUID | None = None) -> WorkCalendar:
    """The calendar at `version` (as another statement of this request found it) or at the newest."""
    version = version or await session.scalar(select(CalendarVersion.version))
    known = _calendars.get(version) if version else None
    if known is None:
        row = (await session.execute(CALENDAR)).one()
        days = {date.fromisoformat(day): working for day, working in (row.days or {}).items()}
        known = _calendars[row.version] = WorkCalendar(days)
    return known


async def list_days(session: AsyncSession, days: Sequence[date]) -> dict[date, tuple[bool, str]]:
    """Working or not, and the note, of those among these days that differ from Monday to Friday."""
    statement = select(CalendarDay.day, CalendarDay.is_working, CalendarDay.note).where(
        CalendarDay.day.in_(days)
    )
    return {row.day: (row.is_working, row.note) for row in await session.execute(statement)}


async def list_year(session: AsyncSession, year: int) -> Sequence[CalendarDay]:
    within = CalendarDay.day.between(date(year, 1, 1), date(year, 12, 31))
    return (
        await session.scalars(select(CalendarDay).where(within).order_by(CalendarDay.day))
    ).all()
