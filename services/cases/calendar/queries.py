"""Every SELECT about the calendar."""

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple
from uuid import UUID

from cachetools import LRUCache
from sqlalchemy import Uuid, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.calendar.model import CalendarDay, CalendarVersion
from shared.database.direct import Direct
from shared.domain.workdays import WorkCalendar


class CalendarRow(NamedTuple):
    """The whole calendar; `days` is None while no day differs from Monday to Friday."""

    version: UUID
    days: dict[str, bool] | None


CALENDAR = Direct(
    text(
        "SELECT version, (SELECT jsonb_object_agg(day, is_working) FROM calendar_day) AS days"
        " FROM calendar_version"
    ).columns(version=Uuid(), days=JSONB()),
    CalendarRow,
)
NEWEST_VERSION = select(CalendarVersion.version).scalar_subquery()
"""For statements that read the version of the calendar with something else."""

# By version: its value names the content, and requests read the same calendar all year.
_calendars: LRUCache[UUID, WorkCalendar] = LRUCache(8)


async def get_calendar(session: AsyncSession, version: UUID | None = None) -> WorkCalendar:
    """The calendar at `version`, as another statement of this request found it, or the newest."""
    if version is None:
        version = await session.scalar(select(CalendarVersion.version))
    if version is not None and version in _calendars:
        return _calendars[version]
    row = await CALENDAR.first(session)
    assert row is not None
    # Also when `version` was older: what is read now is the newest.
    days = {date.fromisoformat(day): working for day, working in (row.days or {}).items()}
    calendar = WorkCalendar(days)
    _calendars[row.version] = calendar
    return calendar


async def list_days(session: AsyncSession, days: Sequence[date]) -> Sequence[CalendarDay]:
    """Those among these days that differ from Monday to Friday."""
    return (await session.scalars(select(CalendarDay).where(CalendarDay.day.in_(days)))).all()


async def list_year(session: AsyncSession, year: int) -> Sequence[CalendarDay]:
    """The days of a year that differ from Monday to Friday."""
    within_year = CalendarDay.day.between(date(year, 1, 1), date(year, 12, 31))
    statement = select(CalendarDay).where(within_year).order_by(CalendarDay.day)
    return (await session.scalars(statement)).all()
