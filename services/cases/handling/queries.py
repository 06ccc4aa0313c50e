"""Every SELECT about handling: silent cases, and lights."""

from collections.abc import Sequence
from datetime import date
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from services.cases.case_file.model.case import Case
from services.cases.case_file.model.clocks import Level
from services.cases.case_file.queries import BULKY, SECRET
from services.cases.handling.model import IS_RAISED, Light
from shared.errors import NotFoundError


async def list_silent(session: AsyncSession, today: date, *, limit: int) -> Sequence[Case]:
    """Received cases whose acceptance days are over, claimed for this worker."""
    # The state as SQL: only then PostgreSQL takes the partial index of silent cases. The last
    # day itself still belongs to the organ.
    statement = select(Case).where(text("state = 'received'"), Case.due_on < today)
    # A locked case is in another worker's batch, or an officer acts on it just now. No order:
    # the timer asks again until no case is left.
    statement = statement.limit(limit).with_for_update(skip_locked=True)
    return (await session.scalars(statement)).all()


async def list_watched(session: AsyncSession, today: date, *, limit: int) -> Sequence[Case]:
    """Cases whose lights may change today, claimed for this worker.

    Their bulky and secret parts are left out.
    """
    # `raiseload`: a use of such a part is an error, not one more statement for each case.
    left_out = [defer(column, raiseload=True) for column in (*BULKY, *SECRET)]
    statement = select(Case).options(*left_out).where(Case.watch_on <= today)
    # The oldest day first, so that a case that was skipped does not wait for ever.
    statement = statement.order_by(Case.watch_on).limit(limit).with_for_update(skip_locked=True)
    return (await session.scalars(statement)).all()


async def list_lights_of(session: AsyncSession, case_ids: Sequence[UUID]) -> Sequence[Light]:
    """Every light that these cases have had."""
    return (await session.scalars(select(Light).where(Light.case_id.in_(case_ids)))).all()


async def get_light(session: AsyncSession, light_id: UUID) -> Light:
    """The light with this id."""
    light = await session.get(Light, light_id)
    if light is None:
        raise NotFoundError("no such light of yours")
    return light


async def list_lights(
    session: AsyncSession,
    *,
    area_code: str | None,
    department_code: str | None,
    is_raised: bool | None,
    level: Level | None,
    after: UUID,
    limit: int,
) -> Sequence[Light]:
    """Lights in the order in which they were raised; one more than `limit`.

    `None` for the department means all of an area, `None` for the area the whole city.
    """
    statement = select(Light).where(Light.id > after)
    if area_code is not None:
        statement = statement.where(Light.area_code == area_code)
    if department_code is not None:
        statement = statement.where(Light.department_code == department_code)
    if is_raised is True:
        statement = statement.where(text(IS_RAISED))
    elif is_raised is False:
        statement = statement.where(text(f"NOT ({IS_RAISED})"))
    if level is not None:
        statement = statement.where(Light.level == level)
    # Ids are UUIDv7: their order is the order of time.
    return (await session.scalars(statement.order_by(Light.id).limit(limit + 1))).all()
