"""Every SELECT of assessment."""

from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.ext.asyncio import AsyncSession

from services.assessment.model.base import IS_STOCK
from services.assessment.model.cases import CaseState
from services.assessment.model.matters import MatterState
from services.assessment.model.ratings import RatingState
from services.assessment.model.reports import DailyReport
from shared.database.direct import UntypedDirect
from shared.errors import NotFoundError

FLOWS = text(
    "SELECT area_code, department_code, json_object_agg(measure, value) AS figures FROM day_count"
    f" WHERE day = :day AND NOT {IS_STOCK} AND value <> 0 GROUP BY 1, 2"
).columns(figures=JSON())
"""A row per department, because thousands of rows cost more on the way than in the table."""
STOCK = text(
    "WITH later AS (SELECT area_code, department_code, measure, sum(value)::bigint AS value FROM day_count"
    f" WHERE {IS_STOCK} AND day > :day GROUP BY 1, 2, 3)"
    " SELECT area_code, department_code, json_object_agg(measure, t.value - coalesce(l.value, 0)) AS figures"
    " FROM stock_total t LEFT JOIN later l USING (area_code, department_code, measure)"
    " WHERE t.value - coalesce(l.value, 0) <> 0 GROUP BY 1, 2"
).columns(figures=JSON())
"""From the present total back to the day: few rows, because the days that are asked for live are of late."""
LOCK_CASES = UntypedDirect(
    "SELECT * FROM case_record WHERE case_id = ANY(CAST(:ids AS uuid[])) ORDER BY case_id FOR UPDATE"
)
LOCK_RATINGS = UntypedDirect(
    "SELECT * FROM rating_record WHERE subject_id = ANY(CAST(:ids AS uuid[])) ORDER BY subject_id FOR UPDATE"
)
LOCK_MATTERS = UntypedDirect(
    "SELECT * FROM matter_record WHERE matter_id = ANY(CAST(:ids AS uuid[])) ORDER BY matter_id FOR UPDATE"
)


async def list_figures(session: AsyncSession, day: date) -> list[dict[str, Any]]:
    """One row per department with any figure on `day`: `{area_code, department_code, figures{measure: n}}`, sorted."""
    rows: dict[tuple[str, str], dict[str, int]] = {}
    for statement in (STOCK, FLOWS):
        for row in await session.execute(statement, {"day": day}):
            rows.setdefault((row.area_code, row.department_code), {}).update(row.figures)
    return [
        {"area_code": area, "department_code": department, "figures": figures}
        for (area, department), figures in sorted(rows.items())
    ]


async def find_report(
    session: AsyncSession, day: date, revision: int | None = None
) -> DailyReport | None:
    """The newest revision of a published day, or the one asked for."""
    statement = select(DailyReport).where(DailyReport.day == day)
    if revision is not None:
        statement = statement.where(DailyReport.revision == revision)
    return await session.scalar(statement.order_by(DailyReport.revision.desc()).limit(1))


async def get_report(session: AsyncSession, day: date, revision: int | None = None) -> DailyReport:
    report = await find_report(session, day, revision)
    if report is None:
        raise NotFoundError(
            "no report of this day is published" + (f" as revision {revision}" if revision else "")
        )
    return report


async def list_revisions(session: AsyncSession, day: date) -> Sequence[Any]:
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
    return (await session.execute(statement)).all()


async def find_cases(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, CaseState]:
    """The records of these cases, locked in id order so that two workers cannot wait for each other in a ring."""
    rows = await LOCK_CASES.fetch(session, ids=ids)
    return {row["case_id"]: CaseState(**row) for row in rows}


async def find_matters(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, MatterState]:
    """The records of these matters, locked in id order."""
    rows = await LOCK_MATTERS.fetch(session, ids=ids)
    return {row["matter_id"]: MatterState(**row) for row in rows}


async def find_ratings(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, RatingState]:
    """The records of these service events, locked in id order."""
    rows = await LOCK_RATINGS.fetch(session, ids=ids)
    return {row["subject_id"]: RatingState(**row) for row in rows}
