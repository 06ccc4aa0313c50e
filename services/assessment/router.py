"""HTTP in and out of assessment."""

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request

from services.assessment import queries, use_cases
from services.assessment.schemas import CorrectReport, DailyReportRead, RevisionRead
from services.assessment.settings import Settings
from shared import clock
from shared.errors import ForbiddenError
from shared.http.dependencies import ReadSession, Session
from shared.http.idempotency import IdempotentRoute, Once
from shared.security.auth import MaybeCaller, with_role
from shared.security.tokens import Caller

router = APIRouter(route_class=IdempotentRoute)

Overseer = Annotated[Caller, Depends(with_role("supervisor", "administrator"))]


async def _publisher(caller: Overseer, request: Request) -> Caller:
    settings: Settings = request.app.state.settings
    if "administrator" not in caller.roles and caller.area != settings.city_code:
        raise ForbiddenError("the report is the whole city's: this needs a supervisor of the city")
    return caller


Publisher = Annotated[Caller, Depends(_publisher)]
"""A supervisor of the city itself, not of a county, or an administrator."""
Day = Annotated[date, Path(description="YYYY-MM-DD")]
Revision = Annotated[
    int | None, Query(ge=1, le=10_000, description="An earlier revision, as it was published")
]
Code = Annotated[str | None, Query(min_length=1, max_length=40, pattern=r"^[0-9A-Za-z_-]+$")]


@router.get("/daily-reports/{day}", response_model=DailyReportRead)
async def get_daily_report(
    day: Day,
    session: ReadSession,
    caller: MaybeCaller,
    revision: Revision = None,
    area: Code = None,
    department: Code = None,
    live: Annotated[
        bool | None,
        Query(description="Staff: the present figures (true), or only what is published"),
    ] = None,
) -> Any:
    """The day as published. Staff see the present figures (revision 0) while it is not, and when they ask for them: what a

    correction would publish. What ratings come to is for staff alone.
    """
    staff = caller is not None and caller.kind == "staff"
    if live and not staff:
        raise ForbiddenError("figures that are not published are for staff")
    if live is None:
        live = staff and revision is None and await queries.find_report(session, day) is None
    report = await (
        use_cases.show_figures(session, day)
        if live
        else use_cases.show_report(session, day, revision)
    )
    report = report if area is None and department is None else report.only(area, department)
    return report if staff else report.without_ratings()


@router.get("/daily-reports/{day}/revisions", response_model=list[RevisionRead])
async def list_revisions(day: Day, session: ReadSession, _caller: Overseer) -> Any:
    """All revisions of a day with their reasons."""
    return await queries.list_revisions(session, day)


@router.post(
    "/daily-reports/{day}/publication",
    response_model=DailyReportRead,
    status_code=201,
    dependencies=[Once],
)
async def publish_daily_report(day: Day, session: Session, caller: Publisher) -> Any:
    """日发布: freeze the figures of the day."""
    return await use_cases.publish_report(session, day, caller.subject, clock.now())


@router.post(
    "/daily-reports/{day}/revisions",
    response_model=DailyReportRead,
    status_code=201,
    dependencies=[Once],
)
async def correct_daily_report(
    day: Day, command: CorrectReport, session: Session, caller: Publisher
) -> Any:
    """A corrected revision with its reason."""
    return await use_cases.correct_report(session, day, command, caller.subject, clock.now())
