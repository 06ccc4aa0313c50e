"""HTTP endpoints that show cases: lists, one case, its timeline and files, tracking."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from services.cases.access import FIRST, Config, Files, Officer
from services.cases.case_file import queries
from services.cases.case_file import use_cases as case_file
from services.cases.case_file.model.materials import file_of
from services.cases.case_file.model.states import State
from services.cases.case_file.queries import CaseSummaryRow, WorkFilter
from services.cases.case_file.schemas import (
    CaseRead,
    CaseSummary,
    StepRead,
    Track,
    Tracked,
    check_reader,
    is_own,
    shown_due_date,
)
from shared import clock
from shared.database.calendar import get_calendar
from shared.database.guess_limits import GuessLimit
from shared.errors import NotFoundError
from shared.http.client_address import client_address
from shared.http.dependencies import Db, ReadSession
from shared.http.etags import etag
from shared.pagination import Cursor, Limit, Page, decode_cursor, page_of
from shared.security.auth import CurrentCaller, MaybeCaller
from shared.security.tokens import CITIZENS

router = APIRouter()


@router.get("/files")
async def list_own_cases(
    session: ReadSession, caller: CurrentCaller, limit: Limit = 50, cursor: Cursor = None
) -> Page[CaseSummary]:
    """The caller's own cases."""
    after = FIRST
    if cursor:
        (after,) = decode_cursor(cursor, UUID)
    if caller.kind not in CITIZENS:
        return Page[CaseSummary](items=[])
    found = await queries.list_own(
        session, UUID(caller.subject), matters=caller.matters, after=after, limit=limit
    )
    rows: Sequence[CaseSummaryRow]
    rows, next_cursor = page_of(found, limit, "id")
    return Page[CaseSummary](items=[CaseSummary.of(row) for row in rows], next=next_cursor)


@router.get("/files/{case_id}")
async def get_case(
    case_id: UUID, session: ReadSession, caller: CurrentCaller, response: Response
) -> CaseRead:
    """One case: whole for its applicant, masked for the officers of its department."""
    case = await queries.read_case(session, case_id)
    check_reader(case, caller)
    calendar = await get_calendar(session, case.calendar)
    response.headers["etag"] = etag(case.revision)
    return CaseRead.of(case, caller, calendar=calendar)


@router.get("/files/{case_id}/timeline")
async def get_timeline(
    case_id: UUID, session: ReadSession, caller: CurrentCaller
) -> list[StepRead]:
    """What happened, by whose role, when."""
    case = await queries.read_case(session, case_id)
    check_reader(case, caller)
    steps: list[StepRead] = []
    for row in await queries.list_steps(session, case_id):
        step = StepRead(
            act=row.act,
            role=row.role,
            agent_id=row.agent_id,
            note=row.note,
            opinion=row.opinion,
            at=row.at,
        )
        # The opinion of a review belongs to the department.
        if is_own(case, caller):
            step.opinion = None
        steps.append(step)
    return steps


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
    for material in case.materials:
        file = file_of(material)
        if material.code == code and file is not None:
            digest, media_type = file
            content = await storage.get(digest)
            headers = {"content-disposition": "attachment", "x-content-type-options": "nosniff"}
            return Response(content, media_type=media_type, headers=headers)
    raise NotFoundError("no such material in this case")


@router.post("/tracking")
async def track_case(
    command: Track, request: Request, database: Db, settings: Config, _caller: MaybeCaller
) -> Tracked:
    """Where a case stands, by its number and the last four digits of the phone.

    Attempts are counted.
    """
    address = client_address(request, trust_gateway=settings.trust_gateway)
    budget = GuessLimit(
        window=timedelta(seconds=settings.tracking_window_seconds),
        per_address=settings.tracking_tries_per_address,
        per_number=settings.tracking_tries_per_number,
    )
    # Each statement commits by itself: an attempt counts even when it is refused.
    async with database.reading() as session:
        case = await case_file.track_case(
            session, command, address=address, budget=budget, now=clock.now()
        )
    return Tracked(
        number=case.number,
        state=case.state,
        matter_name=case.matter_name,
        due_on=shown_due_date(case.state, case.due_on),
    )


@router.get("/work-list")
async def list_work(
    *,
    session: ReadSession,
    officer: Officer,
    state: Annotated[State | None, Query()] = None,
    mine: Annotated[bool, Query(description="Only those that you acted on last")] = False,
    due_before: Annotated[date | None, Query()] = None,
    overdue: Annotated[bool, Query(description="Only those whose clock has run out")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[CaseSummary]:
    """Open cases of the officer's department, the most urgent first."""
    after = (date.min, FIRST)
    if cursor:
        due_on, case_id = decode_cursor(cursor, date.fromisoformat, UUID)
        after = (due_on, case_id)
    work_filter = WorkFilter(state=state, due_before=due_before)
    if mine:
        work_filter = replace(work_filter, officer=officer.subject)
    if overdue:
        work_filter = replace(work_filter, overdue_on=clock.local_date(clock.now()))
    found = await queries.list_work(
        session,
        work_filter,
        area_code=officer.area or "",
        department_code=officer.department or "",
        after=after,
        limit=limit,
    )
    rows: Sequence[CaseSummaryRow]
    rows, next_cursor = page_of(found, limit, "due_on", "id")
    return Page[CaseSummary](items=[CaseSummary.of(row) for row in rows], next=next_cursor)
