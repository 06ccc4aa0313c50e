"""Every SELECT of the calendar and the deadlines. The calendar is cached in this process."""

from datetime import date
from typing import NamedTuple
from uuid import UUID

from cachetools import LRUCache
from sqlalchemy import Uuid, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.calendar.model import CalendarVersion, Deadline, Deadlines
from shared.database.direct import Direct
from shared.domain.workdays import WorkCalendar


class CalendarRow(NamedTuple):
    """The calendar with its version; `days` maps ISO dates to whether they are working days."""

    version: UUID
    days: dict[str, bool] | None


CALENDAR = Direct(
    text(
        "SELECT version,"
        " (SELECT jsonb_object_agg(day, is_working) FROM calendar_day) AS days"
        " FROM calendar_version"
    ).columns(version=Uuid(), days=JSONB()),
    CalendarRow,
)

# By version: a change of the calendar gives it a new one, so no entry is ever out of date.
_calendars: LRUCache[UUID, WorkCalendar] = LRUCache(8)


async def get_calendar(session: AsyncSession) -> WorkCalendar:
    # One short query instead of hundreds of days: every request needs the calendar.
    version = await session.scalar(select(CalendarVersion.version))
    known = _calendars.get(version) if version else None
    if known is not None:
        return known
    row = await CALENDAR.first(session)
    assert row is not None, "a migration made the one row"
    days: dict[date, bool] = {}
    for day, is_working in (row.days or {}).items():
        days[date.fromisoformat(day)] = is_working
    calendar = WorkCalendar(days)
    _calendars[row.version] = calendar
    return calendar


async def lock_calendar(session: AsyncSession) -> None:
    """Make whoever changes the calendar wait for the others who do."""
    _ = await session.scalar(select(CalendarVersion.version).with_for_update())


async def get_deadlines(session: AsyncSession) -> Deadlines:
    """Working days of every step: the city's where it has set them."""
    # Another version of this service may have stored names that this one does not know.
    rows = await session.execute(select(Deadline.name, Deadline.days))
    names = Deadlines.names()
    return Deadlines(**{name: days for name, days in rows if name in names})
