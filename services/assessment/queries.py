"""Every SELECT of assessment."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.ext.asyncio import AsyncSession

from services.assessment.model.base import IS_STOCK
from services.assessment.model.cases import CaseState
from services.assessment.model.matters import MatterState
from services.assessment.model.ratings import RatingState
from services.assessment.model.reports import DailyReport, DepartmentRow
from shared.database.direct import Direct
from shared.errors import NotFoundError


class FiguresRow(NamedTuple):
    """Figures of one department by measure."""

    area_code: str
    department_code: str
    figures: dict[str, int]


class RevisionRow(NamedTuple):
    """One revision of a published day, without its figures."""

    revision: int
    reason: str | None
    published_by: str
    published_at: datetime


# One row per department: sending thousands of small rows costs more than reading them.
FLOWS = Direct(
    text(
        "SELECT area_code, department_code, json_object_agg(measure, value) AS figures"
        " FROM day_count"
        f" WHERE day = :day AND NOT {IS_STOCK} AND value <> 0 GROUP BY 1, 2"
    ).columns(figures=JSON()),
    FiguresRow,
)
# From the present total back to the day: the days that are asked for live are recent ones, so
# only few later changes are added up.
STOCK = Direct(
    text(
        "WITH later AS (SELECT area_code, department_code, measure, sum(value)::bigint AS value"
        f" FROM day_count WHERE {IS_STOCK} AND day > :day GROUP BY 1, 2, 3)"
        " SELECT area_code, department_code,"
        " json_object_agg(measure, t.value - coalesce(l.value, 0)) AS figures"
        " FROM stock_total t LEFT JOIN later l USING (area_code, department_code, measure)"
        " WHERE t.value - coalesce(l.value, 0) <> 0 GROUP BY 1, 2"
    ).columns(figures=JSON()),
    FiguresRow,
)
# All records are locked in id order, so that two workers cannot wait for each other in a ring.
LOCK_CASES = Direct(
    "SELECT * FROM case_record WHERE case_id = ANY(CAST(:ids AS uuid[]))"
    " ORDER BY case_id FOR UPDATE",
    CaseState,
)
LOCK_RATINGS = Direct(
    "SELECT * FROM rating_record WHERE subject_id = ANY(CAST(:ids AS uuid[]))"
    " ORDER BY subject_id FOR UPDATE",
    RatingState,
)
LOCK_MATTERS = Direct(
    "SELECT * FROM matter_record WHERE matter_id = ANY(CAST(:ids AS uuid[]))"
    " ORDER BY matter_id FOR UPDATE",
    MatterState,
)


async def list_figures(session: AsyncSession, day: date) -> list[DepartmentRow]:
    """Every department with any figure on `day`, sorted by area and department."""
    figures: dict[tuple[str, str], dict[str, int]] = {}
    for statement in (STOCK, FLOWS):
        for row in await statement.fetch(session, day=day):
            place = (row.area_code, row.department_code)
            figures.setdefault(place, {}).update(row.figures)
    rows: list[DepartmentRow] = []
    for area, department in sorted(figures):
        rows.append(
            DepartmentRow(
                area_code=area,
                department_code=department,
                figures=figures[area, department],
            )
        )
    return rows


async def find_report(
    session: AsyncSession, day: date, *, revision: int | None = None
) -> DailyReport | None:
    """The newest revision of a published day, or the one asked for."""
    statement = select(DailyReport).where(DailyReport.day == day)
    if revision is not None:
        statement = statement.where(DailyReport.revision == revision)
    return await session.scalar(statement.order_by(DailyReport.revision.desc()).limit(1))


async def get_report(
    session: AsyncSession, day: date, *, revision: int | None = None
) -> DailyReport:
    """As `find_report`; raises `NotFoundError` when there is none."""
    report = await find_report(session, day, revision=revision)
    if report is not None:
        return report
    if revision is not None:
        raise NotFoundError(
            "no report of this day is published as revision {revision}", revision=revision
        )
    raise NotFoundError("no report of this day is published")


async def list_revisions(session: AsyncSession, day: date) -> list[RevisionRow]:
    """The revisions of a day, the oldest first."""
    statement = (
        select(
            DailyReport.revision,
            DailyReport.reason,
            DailyReport.published_by,
            DailyReport.published_at,
        )
        .where(DailyReport.day == day)
        .order_by(DailyReport.revision)
    )
    return [RevisionRow(*row) for row in await session.execute(statement)]


async def lock_cases(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, CaseState]:
    """The known ones of these cases, locked."""
    return {state.case_id: state for state in await LOCK_CASES.fetch(session, ids=ids)}


async def lock_matters(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, MatterState]:
    """The known ones of these matters, locked."""
    return {state.matter_id: state for state in await LOCK_MATTERS.fetch(session, ids=ids)}


async def lock_ratings(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, RatingState]:
    """The known ones of these service events, locked."""
    return {state.subject_id: state for state in await LOCK_RATINGS.fetch(session, ids=ids)}
