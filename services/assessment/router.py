"""HTTP in and out of assessment."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from sqlalchemy.ext.asyncio import AsyncSession

from services.assessment import queries, use_cases
from services.assessment.schemas import CorrectReport, DailyReportRead, RevisionRead
from services.assessment.settings import Settings
from shared.errors import ForbiddenError
from shared.http.dependencies import Now, ReadSession, Session, settings_of
from shared.http.idempotency import IdempotentRoute, Once
from shared.security.auth import MaybeCaller, with_role
from shared.security.tokens import Caller, CallerKind

router = APIRouter(route_class=IdempotentRoute)

Config = Annotated[Settings, Depends(settings_of(Settings))]
Overseer = Annotated[Caller, Depends(with_role("supervisor", "administrator"))]


async def _publisher(caller: Overseer, settings: Config) -> Caller:
    if "administrator" not in caller.roles and caller.area != settings.city.code:
        raise ForbiddenError("the report is the whole city's: this needs a supervisor of the city")
    return caller


Publisher = Annotated[Caller, Depends(_publisher)]
"""A supervisor of the city itself, not of a county, or an administrator."""
Day = Annotated[date, Path(description="YYYY-MM-DD")]
Revision = Annotated[
    int | None, Query(ge=1, le=10_000, description="An earlier revision, as it was published")
]
Code = Annotated[str | None, Query(min_length=1, max_length=40, pattern=r"^[0-9A-Za-z_-]+$")]
Live = Annotated[
    bool | None,
    Query(description="Staff: the present figures (true), or only what is published"),
]


@router.get("/daily-reports/{day}")
async def get_daily_report(
    *,
    day: Day,
    session: ReadSession,
    caller: MaybeCaller,
    revision: Revision = None,
    area: Code = None,
    department: Code = None,
    live: Live = None,
) -> DailyReportRead:
    """The day as published.

    Staff see the present figures (revision 0) while the day is not published, and when they ask
    for them: what a correction would publish. Figures of ratings are for staff alone.
    """
    is_staff = caller is not None and caller.kind is CallerKind.STAFF
    if live and not is_staff:
        raise ForbiddenError("figures that are not published are for staff")
    if live is None and is_staff and revision is None:
        live = await queries.find_report(session, day) is None
    report = await _find_report(session, day, revision=revision, live=bool(live))
    if area is not None or department is not None:
        report = report.only(area, department=department)
    if not is_staff:
        report = report.without_ratings()
    return report


async def _find_report(
    session: AsyncSession, day: date, *, revision: int | None, live: bool
) -> DailyReportRead:
    if live:
        return await use_cases.show_figures(session, day)
    return await use_cases.show_report(session, day, revision=revision)


@router.get("/daily-reports/{day}/revisions")
async def list_revisions(day: Day, session: ReadSession, _caller: Overseer) -> list[RevisionRead]:
    """All revisions of a day with their reasons."""
    revisions: list[RevisionRead] = []
    for row in await queries.list_revisions(session, day):
        revisions.append(
            RevisionRead(
                revision=row.revision,
                reason=row.reason,
                published_by=row.published_by,
                published_at=row.published_at,
            )
        )
    return revisions


@router.post("/daily-reports/{day}/publication", status_code=201, dependencies=[Once])
async def publish_daily_report(
    day: Day, session: Session, caller: Publisher, now: Now
) -> DailyReportRead:
    """日发布: freeze the figures of the day."""
    return await use_cases.publish_report(session, day, officer=caller.subject, now=now)


@router.post("/daily-reports/{day}/revisions", status_code=201, dependencies=[Once])
async def correct_daily_report(
    day: Day, command: CorrectReport, session: Session, caller: Publisher, now: Now
) -> DailyReportRead:
    """A corrected revision with its reason."""
    return await use_cases.correct_report(
        session, day, command=command, officer=caller.subject, now=now
    )
