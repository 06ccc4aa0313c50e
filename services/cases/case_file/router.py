"""HTTP in and out of case files: uploads, applications, reading, tracking, the work list, a bureau's push."""

from datetime import date, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from services.cases.access import FIRST, Config, Db, Files, Officer
from services.cases.calendar import queries as calendar_queries
from services.cases.case_file import queries
from services.cases.case_file import use_cases as case_file
from services.cases.case_file.model.materials import is_file
from services.cases.case_file.model.states import State
from services.cases.case_file.schemas import CaseRead, CaseSummary, StepRead, Track, Tracked
from services.cases.case_file.views import check_reader, is_own, read_case
from shared import clock
from shared.database.guess_limits import Budget
from shared.errors import NotFoundError
from shared.http.client_address import client_address
from shared.http.dependencies import ReadSession
from shared.pagination import Cursor, Limit, Page, decode_cursor, page_of
from shared.security.auth import CurrentCaller, MaybeCaller

router = APIRouter()


@router.get("/files", response_model=Page[CaseSummary])
async def list_own_cases(
    session: ReadSession, caller: CurrentCaller, limit: Limit = 50, cursor: Cursor = None
) -> Any:
    """The caller's own cases."""
    after = decode_cursor(cursor, UUID)[0] if cursor else FIRST
    if caller.kind not in {"person", "organisation"}:
        return {"items": [], "next": None}
    rows, following = page_of(
        await queries.list_own(session, UUID(caller.subject), caller.matters, after, limit),
        limit,
        "id",
    )
    return {"items": [{**row._asdict(), "due_on": _due_on(row)} for row in rows], "next": following}


def _due_on(row: Any) -> date | None:
    """A child that waits has no due date yet."""
    return None if row.state == State.WAITING else row.due_on


@router.get("/files/{case_id}", response_model=CaseRead)
async def get_case(
    case_id: UUID, session: ReadSession, caller: CurrentCaller, response: Response
) -> Any:
    """One case: whole for its applicant, masked for the officers of its department."""
    case = await queries.read_case(session, case_id)
    check_reader(case, caller)
    return read_case(
        case, caller, response, await calendar_queries.get_calendar(session, case.calendar)
    )


@router.get("/files/{case_id}/timeline", response_model=list[StepRead])
async def get_timeline(case_id: UUID, session: ReadSession, caller: CurrentCaller) -> Any:
    """What happened, by whose role, when."""
    case = await queries.read_case(session, case_id)
    check_reader(case, caller)
    steps = [StepRead.model_validate(step) for step in await queries.list_steps(session, case_id)]
    return (
        [step.model_copy(update={"opinion": None}) for step in steps]
        if is_own(case, caller)
        else steps
    )


@router.get("/files/{case_id}/materials/{code}", response_class=Response)
async def get_material(
    case_id: UUID,
    code: str,
    session: ReadSession,
    caller: CurrentCaller,
    storage: Files,
) -> Response:
    """The file that meets a material, as an attachment."""
    case = await queries.read_case(session, case_id)
    check_reader(case, caller)
    found = next((material for material in case.materials if material["code"] == code), None)
    if found is None or not is_file(found):
        raise NotFoundError("no such material in this case")
    headers = {"content-disposition": "attachment", "x-content-type-options": "nosniff"}
    return Response(
        await storage.get(found["digest"]), media_type=found["media_type"], headers=headers
    )


@router.post("/tracking", response_model=Tracked)
async def track_case(
    command: Track, request: Request, database: Db, settings: Config, _caller: MaybeCaller
) -> Any:
    """Where a case stands, by its number and the last four digits of the phone; tries are counted."""
    address = client_address(request, trust_gateway=settings.trust_gateway)
    window = timedelta(seconds=settings.tracking_window_seconds)
    budget = Budget(window, settings.tracking_tries_per_address, settings.tracking_tries_per_number)
    async with database.reading() as session:
        case = await case_file.track_case(session, command, address, budget, clock.now())
    return {**{name: getattr(case, name) for name in Tracked.model_fields}, "due_on": _due_on(case)}


@router.get("/work-list", response_model=Page[CaseSummary])
async def list_work(
    session: ReadSession,
    officer: Officer,
    state: Annotated[State | None, Query()] = None,
    mine: Annotated[bool, Query(description="Only those that you acted on last")] = False,
    due_before: Annotated[date | None, Query()] = None,
    overdue: Annotated[bool, Query(description="Only those whose clock has run out")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Any:
    """Open cases of the officer's department, the most urgent first."""
    after: list[Any] = (
        decode_cursor(cursor, date.fromisoformat, UUID) if cursor else [date.min, FIRST]
    )
    place = (officer.area or "", officer.department or "")
    today = clock.local_date(clock.now())
    which = queries.WorkFilter(
        state, officer.subject if mine else None, due_before, today if overdue else None
    )
    rows = await queries.list_work(session, place, which, (after[0], after[1]), limit)
    page, following = page_of(rows, limit, "due_on", "id")
    return {"items": page, "next": following}
