"""The working calendar as a service keeps it in its own database, and as a process remembers it."""

from datetime import date
from typing import NamedTuple
from uuid import UUID

from cachetools import LRUCache
from sqlalchemy import Boolean, Date, Text, Uuid, column, select, table, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.direct import Direct
from shared.domain.workdays import WorkCalendar


class CalendarDayRow:
    """A day that differs from Monday to Friday."""

    __tablename__ = "calendar_day"

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    is_working: Mapped[bool] = mapped_column(Boolean)
    note: Mapped[str] = mapped_column(Text)


class CalendarVersionRow:
    """One row, with a new random value for every change of the calendar.

    The value names the content, so that each process can keep the calendar it has read.
    """

    __tablename__ = "calendar_version"

    version: Mapped[UUID] = mapped_column(Uuid, primary_key=True)


class CalendarRow(NamedTuple):
    """The whole calendar; `days` is None while no day differs from Monday to Friday."""

    version: UUID
    days: dict[str, bool] | None


VERSION = select(table("calendar_version", column("version", Uuid())).c.version)
NEWEST_VERSION = VERSION.scalar_subquery()
"""For statements that read the version of the calendar with something else."""
CALENDAR = Direct(
    text(
        "SELECT version, (SELECT jsonb_object_agg(day, is_working) FROM calendar_day) AS days"
        " FROM calendar_version"
    ).columns(version=Uuid(), days=JSONB()),
    CalendarRow,
)

# By version: its value names the content, and requests read the same calendar all year. Services
# that share a process have versions of their own.
_calendars: LRUCache[UUID, WorkCalendar] = LRUCache(16)


async def get_calendar(session: AsyncSession, version: UUID | None = None) -> WorkCalendar:
    """The calendar at `version`, as another statement of this request found it, or the newest."""
    if version is None:
        version = await session.scalar(VERSION)
    if version is not None and version in _calendars:
        return _calendars[version]
    row = await CALENDAR.first(session)
    # A migration made the one row.
    assert row is not None
    # Also when `version` was older: what is read now is the newest.
    days = {date.fromisoformat(day): working for day, working in (row.days or {}).items()}
    calendar = WorkCalendar(days)
    _calendars[row.version] = calendar
    return calendar
