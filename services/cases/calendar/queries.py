"""Every SELECT about the days of the calendar and their changes."""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from services.cases.calendar.model import CalendarChange, CalendarDay, CalendarVersion
from services.cases.case_file.model.case import Case
from services.cases.case_file.queries import BULKY, SECRET
from shared.errors import NotFoundError


async def list_days(session: AsyncSession, days: Sequence[date]) -> Sequence[CalendarDay]:
    """Those among these days that differ from Monday to Friday."""
    return (await session.scalars(select(CalendarDay).where(CalendarDay.day.in_(days)))).all()


async def list_year(session: AsyncSession, year: int) -> Sequence[CalendarDay]:
    """The days of a year that differ from Monday to Friday."""
    within_year = CalendarDay.day.between(date(year, 1, 1), date(year, 12, 31))
    statement = select(CalendarDay).where(within_year).order_by(CalendarDay.day)
    return (await session.scalars(statement)).all()


async def lock_calendar(session: AsyncSession) -> None:
    """Let only one transaction at a time change the calendar."""
    _ = await session.scalar(select(CalendarVersion.version).with_for_update())


async def count_changes(session: AsyncSession) -> int:
    """How many changes there have been."""
    # A small table: a city changes its calendar a few times a year.
    return await session.scalar(select(func.count()).select_from(CalendarChange)) or 0


async def get_change(session: AsyncSession, change_id: UUID) -> CalendarChange:
    """The change with this id."""
    change = await session.get(CalendarChange, change_id)
    if change is None:
        raise NotFoundError("no such change of the calendar")
    return change


async def find_unfinished_change(
    session: AsyncSession, change_id: UUID, *, passes: int
) -> CalendarChange | None:
    """The change, locked; None when `passes` are done, or another process works on it."""
    statement = select(CalendarChange).where(
        CalendarChange.id == change_id, CalendarChange.passes < passes
    )
    return await session.scalar(statement.with_for_update(skip_locked=True))


async def list_unfinished_changes(
    session: AsyncSession, *, changed_before: datetime
) -> Sequence[UUID]:
    """Changes without a first pass, and those before that time without a second one."""
    is_due = (CalendarChange.passes == 0) | (CalendarChange.changed_at < changed_before)
    statement = select(CalendarChange.id).where(text("passes < 2"), is_due)
    return (await session.scalars(statement.order_by(CalendarChange.id))).all()


async def list_touched_cases(
    session: AsyncSession, change: CalendarChange, *, limit: int
) -> Sequence[Case]:
    """The next cases whose running clocks span a changed day, locked.

    Their bulky and secret parts are left out.
    """
    days = [changed.day for changed in change.days]
    statement = select(Case).where(
        Case.id > change.reached,
        # Not those that are corrected: no clock runs, and their days are computed when one starts.
        text("state IN ('received', 'accepted', 'suspended', 'decided')"),
        # The first day is not counted (民法典 art. 201), so a change of it moves nothing.
        Case.clock_from < max(days),
        func.greatest(Case.due_on, Case.legal_due_on, Case.step_due_on) >= min(days),
    )
    left_out = [defer(column, raiseload=True) for column in (*BULKY, *SECRET)]
    statement = statement.options(*left_out).order_by(Case.id).limit(limit).with_for_update()
    return (await session.scalars(statement)).all()
