"""Every SELECT of supervision records."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.matters.model.supervision import Behaviour, SupervisionCount
from shared.database.direct import Direct


class CountRow(NamedTuple):
    """Number of a department's records of one behaviour."""

    area_code: str
    department_code: str
    behaviour: Behaviour
    records: int


class KnownRecord(NamedTuple):
    """What a new version of a record is compared with."""

    source_number: str
    id: UUID
    version: int
    revision: int
    content_hash: bytes
    behaviour: str


KNOWN = Direct(
    text(
        "SELECT source_number, id, version, revision, content_hash, behaviour"
        " FROM supervision_record"
        " WHERE area_code = :area AND department_code = :department AND source = :source"
        " AND source_number = ANY (CAST(:numbers AS text[]))"
    ),
    KnownRecord,
)


async def count_supervision(
    session: AsyncSession, *, area: str | None, department: str | None
) -> list[CountRow]:
    """Number of records by area, department and behaviour, as the counters have it."""
    statement = (
        select(
            SupervisionCount.area_code,
            SupervisionCount.department_code,
            SupervisionCount.behaviour,
            SupervisionCount.records,
        )
        .where(SupervisionCount.records > 0)
        .order_by(
            SupervisionCount.area_code,
            SupervisionCount.department_code,
            SupervisionCount.behaviour,
        )
    )
    if area is not None:
        statement = statement.where(SupervisionCount.area_code == area)
    if department is not None:
        statement = statement.where(SupervisionCount.department_code == department)
    return [CountRow(*row) for row in await session.execute(statement)]


async def find_records(
    session: AsyncSession, *, area: str, department: str, source: str, numbers: Sequence[str]
) -> dict[str, KnownRecord]:
    """The known ones of these records of a source, by their number there."""
    rows = await KNOWN.fetch(
        session, area=area, department=department, source=source, numbers=list(numbers)
    )
    return {row.source_number: row for row in rows}
