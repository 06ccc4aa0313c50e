"""Every SELECT of cases."""

from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.model import OPEN, CalendarDay, Case, MatterCopy, State, TimelineRow, Upload
from shared.errors import NotFoundError
from shared.workdays import WorkCalendar

SUMMARY = (
    Case.id,
    Case.number,
    Case.revision,
    Case.state,
    Case.matter_name,
    Case.due_on,
    Case.received_at,
    Case.overdue,
)


async def get_case(session: AsyncSession, case_id: UUID, *, lock: bool = False) -> Case:
    case = await session.get(Case, case_id, with_for_update=lock)
    if case is None:
        raise NotFoundError("no such case of yours")
    return case


async def find_by_number(session: AsyncSession, number: str) -> Case | None:
    return await session.scalar(select(Case).where(Case.number == number))


async def list_own(session: AsyncSession, account_id: UUID, after: UUID, limit: int) -> Sequence[Any]:
    statement = select(*SUMMARY).where(Case.account_id == account_id, Case.id > after).order_by(Case.id)
    return (await session.execute(statement.limit(limit + 1))).all()


async def list_work(
    session: AsyncSession, place: tuple[str, str], state: State | None, after: tuple[date, UUID], limit: int
) -> Sequence[Any]:
    """Open cases of a department, the most urgent first."""
    statement = select(*SUMMARY).where(
        Case.area_code == place[0],
        Case.department_code == place[1],
        Case.state.in_([state] if state else sorted(OPEN)),
        tuple_(Case.due_on, Case.id) > tuple_(*after),
    )
    return (await session.execute(statement.order_by(Case.due_on, Case.id).limit(limit + 1))).all()


async def list_silent(session: AsyncSession, today: date, limit: int) -> Sequence[Case]:
    """Received cases whose acceptance days are over, claimed for this worker."""
    statement = select(Case).where(Case.state == State.RECEIVED, Case.due_on < today)
    return (await session.scalars(statement.limit(limit).with_for_update(skip_locked=True))).all()


async def list_steps(session: AsyncSession, case_id: UUID) -> Sequence[TimelineRow]:
    return (
        await session.scalars(select(TimelineRow).where(TimelineRow.case_id == case_id).order_by(TimelineRow.id))
    ).all()


async def get_open_matter(session: AsyncSession, matter_id: UUID) -> MatterCopy:
    matter = await session.get(MatterCopy, matter_id)
    if matter is None or not matter.open:
        raise NotFoundError("no matter that takes applications has this id")
    return matter


async def list_uploads(session: AsyncSession, ids: Sequence[UUID], owner: str) -> dict[UUID, Upload]:
    """The uploads of `owner` among these."""
    rows = await session.scalars(select(Upload).where(Upload.id.in_(ids), Upload.owner == owner))
    return {row.id: row for row in rows}


async def get_calendar(session: AsyncSession) -> WorkCalendar:
    rows = await session.execute(select(CalendarDay.day, CalendarDay.is_working))
    return WorkCalendar({row.day: row.is_working for row in rows})
