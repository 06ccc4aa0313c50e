"""Every SELECT of cases."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from services.cases.model import (
    BURNS,
    IS_OPEN,
    CalendarDay,
    Case,
    Level,
    Light,
    MatterCopy,
    State,
    TimelineRow,
    Upload,
)
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


@dataclass(frozen=True, slots=True)
class WorkFilter:
    """What of a department's work an officer asks for; `officer`: only what this one acted on last."""

    state: State | None = None
    officer: str | None = None
    due_before: date | None = None
    overdue_on: date | None = None


async def list_work(
    session: AsyncSession, place: tuple[str, str], which: WorkFilter, after: tuple[date, UUID], limit: int
) -> Sequence[Any]:
    """Open cases of a department, the most urgent first."""
    statement = select(*SUMMARY).where(
        Case.area_code == place[0],
        Case.department_code == place[1],
        text(IS_OPEN),
        tuple_(Case.due_on, Case.id) > tuple_(*after),
    )
    if which.state is not None:
        statement = statement.where(Case.state == which.state)
    if which.officer is not None:
        statement = statement.where(Case.officer == which.officer)
    if which.due_before is not None:
        statement = statement.where(Case.due_on < which.due_before)
    if which.overdue_on is not None:
        statement = statement.where(Case.due_on < which.overdue_on, Case.state != State.SUSPENDED)
    return (await session.execute(statement.order_by(Case.due_on, Case.id).limit(limit + 1))).all()


async def list_silent(session: AsyncSession, today: date, limit: int) -> Sequence[Case]:
    """Received cases whose acceptance days are over, claimed for this worker."""
    statement = select(Case).where(text("state = 'received'"), Case.due_on < today)
    return (await session.scalars(statement.limit(limit).with_for_update(skip_locked=True))).all()


async def list_watched(session: AsyncSession, today: date, limit: int) -> Sequence[Case]:
    """Cases over which a light may go on today, claimed for this worker; without their bulky parts."""
    bulky = [defer(column, raiseload=True) for column in (Case.guide, Case.materials, Case.missing)]
    statement = select(Case).options(*bulky).where(Case.watch_on <= today).order_by(Case.watch_on)
    return (await session.scalars(statement.limit(limit).with_for_update(skip_locked=True))).all()


async def list_lights_of(session: AsyncSession, case_ids: Sequence[UUID]) -> Sequence[Light]:
    """Every light that these cases have had."""
    return (await session.scalars(select(Light).where(Light.case_id.in_(case_ids)))).all()


async def get_light(session: AsyncSession, light_id: UUID) -> Light:
    light = await session.get(Light, light_id)
    if light is None:
        raise NotFoundError("no such light of yours")
    return light


async def list_lights(
    session: AsyncSession,
    area: str | None,
    department: str | None,
    *,
    is_open: bool | None,
    level: Level | None,
    after: UUID,
    limit: int,
) -> Sequence[Light]:
    """Lights of a department, of an area (`department` None), or of all areas (`area` None), in the order they were raised."""
    statement = select(Light).where(Light.id > after)
    if area is not None:
        statement = statement.where(Light.area_code == area)
    if department is not None:
        statement = statement.where(Light.department_code == department)
    if is_open is not None:
        statement = statement.where(text(BURNS if is_open else f"NOT ({BURNS})"))
    if level is not None:
        statement = statement.where(Light.level == level)
    return (await session.scalars(statement.order_by(Light.id).limit(limit + 1))).all()


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
