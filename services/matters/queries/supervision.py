"""Every SELECT of supervision records."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.matters.model.supervision import SupervisionCount


async def count_supervision(
    session: AsyncSession, area: str | None, department: str | None
) -> Sequence[Any]:
    """Number of records by area, department and behaviour, as the counters have it."""
    columns = (
        SupervisionCount.area_code,
        SupervisionCount.department_code,
        SupervisionCount.behaviour,
        SupervisionCount.records,
    )
    statement = select(*columns).where(SupervisionCount.records > 0).order_by(*columns[:3])
    if area is not None:
        statement = statement.where(SupervisionCount.area_code == area)
    if department is not None:
        statement = statement.where(SupervisionCount.department_code == department)
    return (await session.execute(statement)).all()
