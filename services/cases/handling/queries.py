"""Every SELECT about silent cases and lights."""

from collections.abc import Sequence
from datetime import date
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from services.cases.case_file.model.case import Case
from services.cases.case_file.model.clocks import Level
from services.cases.case_file.queries import BULKY, SECRET
from services.cases.handling.model import BURNS, Light
from shared.errors import NotFoundError


async def list_silent(session: AsyncSession, today: date, limit: int) -> Sequence[Case]:
    """Received cases whose acceptance days are over, claimed for this worker."""
    statement = select(Case).where(text("state = 'received'"), Case.due_on < today)
    return (await session.scalars(statement.limit(limit).with_for_update(skip_locked=True))).all()


async def list_watched(session: AsyncSession, today: date, limit: int) -> Sequence[Case]:
    """Cases over which a light may go on today, claimed for this worker; without their bulky and secret parts."""
    light = [defer(column, raiseload=True) for column in (*BULKY, *SECRET)]
    statement = select(Case).options(*light).where(Case.watch_on <= today).order_by(Case.watch_on)
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
