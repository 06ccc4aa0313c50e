"""Every SELECT about changes of the calendar."""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from services.cases.calendar_changes.model import CalendarChange
from services.cases.case_file.model.case import Case
from services.cases.case_file.queries import BULKY, SECRET
from shared.errors import NotFoundError


async def get_change(session: AsyncSession, change_id: UUID) -> CalendarChange:
    change = await session.get(CalendarChange, change_id)
    if change is None:
        raise NotFoundError("no such change of the calendar")
    return change


async def find_change(session: AsyncSession, change_id: UUID, passes: int) -> CalendarChange | None:
    """The change, locked, unless that many passes are over or another process is at it."""
    unfinished = select(CalendarChange).where(
        CalendarChange.id == change_id, CalendarChange.passes < passes
    )
    return await session.scalar(unfinished.with_for_update(skip_locked=True))


async def list_unfinished_changes(session: AsyncSession, before: datetime) -> Sequence[UUID]:
    due = (CalendarChange.passes == 0) | (CalendarChange.changed_at < before)
    statement = select(CalendarChange.id).where(text("passes < 2"), due).order_by(CalendarChange.id)
    return (await session.scalars(statement)).all()


async def list_touched(session: AsyncSession, change: CalendarChange, limit: int) -> Sequence[Case]:
    """The next cases whose running clocks span a changed day, locked; without their bulky and secret parts."""
    days = sorted(date.fromisoformat(day["day"]) for day in change.days)
    statement = select(Case).where(
        Case.id > change.reached,
        text("state IN ('received', 'accepted', 'suspended', 'decided')"),
        Case.clock_from < days[-1],
        func.greatest(Case.due_on, Case.legal_due_on, Case.step_due_on) >= days[0],
    )
    statement = statement.options(*(defer(column, raiseload=True) for column in (*BULKY, *SECRET)))
    return (await session.scalars(statement.order_by(Case.id).limit(limit).with_for_update())).all()
