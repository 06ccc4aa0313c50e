"""HTTP in and out of cases."""

from datetime import date
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from services.cases import queries, timers, use_cases
from services.cases.model import Case, Moment, State
from services.cases.schemas import (
    Apply,
    CaseRead,
    CaseSummary,
    Correct,
    Decide,
    Deliver,
    PushCases,
    Pushed,
    RefuseAcceptance,
    RequestCorrection,
    Review,
    StepRead,
    TimerRan,
    TimerRun,
    Track,
    Tracked,
    UploadRead,
)
from shared import clock, masking
from shared.auth import Administrator, CurrentCaller, MaybeCaller, with_role, with_scope
from shared.db import ReadSession, Session
from shared.errors import FieldError, ForbiddenError, InvalidInputError, NotFoundError, StepUpRequiredError
from shared.etags import IfMatch, etag
from shared.idempotency import IdempotentRoute, Once
from shared.pagination import Cursor, Limit, Page, decode_cursor, page_of
from shared.storage import MAX_FILE, Storage
from shared.tokens import Caller

router = APIRouter(prefix="/api/v1/cases", tags=["cases"], route_class=IdempotentRoute)

STAFF = ("window_clerk", "approver", "leader", "delivery", "department_head")
Clerk = Annotated[Caller, Depends(with_role("window_clerk"))]
Approver = Annotated[Caller, Depends(with_role("approver"))]
Leader = Annotated[Caller, Depends(with_role("leader"))]
Deliverer = Annotated[Caller, Depends(with_role("delivery"))]
Officer = Annotated[Caller, Depends(with_role(*STAFF))]
Pusher = Annotated[Caller, Depends(with_scope("cases:push"))]
FIRST = UUID(int=0)


async def _moment(session: Session) -> Moment:
    return Moment(clock.now(), await queries.get_calendar(session))


At = Annotated[Moment, Depends(_moment)]


def _storage(request: Request) -> Storage:
    return request.app.state.storage


def _is_own(case: Case, caller: Caller) -> bool:
    return case.account_id is not None and str(case.account_id) == caller.subject


def _check_reader(case: Case, caller: Caller) -> None:
    """The applicant, or staff of the case's own area and department; for everyone else it is not there."""
    staff = caller.kind == "staff" and bool(set(STAFF) & caller.roles)
    if not _is_own(case, caller) and not (
        staff and (caller.area, caller.department) == (case.area_code, case.department_code)
    ):
        raise NotFoundError("no such case of yours")


def _read(case: Case, caller: Caller, response: Response, at: Moment | None = None) -> dict[str, Any]:
    response.headers["etag"] = etag(case.revision)
    plain = _is_own(case, caller)
    values = {name: getattr(case, name) for name in CaseRead.model_fields if name != "provisional_due"}
    if not plain:
        values["applicant_name"] = masking.mask_name(case.applicant_name)
        values["phone"] = masking.mask_phone(case.phone)
        if case.applicant_kind == "person":
            values["applicant_id_number"] = masking.mask_id_number(case.applicant_id_number)
    today = clock.local_date(clock.now())
    values["provisional_due"] = at is not None and at.calendar.is_provisional(today, max(today, case.due_on))
    return values


@router.post("/uploads", response_model=UploadRead, status_code=201, max_body_size=MAX_FILE)
async def upload_file(
    request: Request, session: Session, caller: CurrentCaller, storage: Annotated[Storage, Depends(_storage)]
) -> Any:
    """Bring a file (PDF, PNG, JPEG, at most 20 MiB) as the body; only its owner can use it."""
    return await use_cases.store_upload(session, storage, await request.body(), caller.subject, clock.now())


def _applicant_account(command: Apply, caller: Caller) -> tuple[UUID | None, str | None]:
    """Who applies: a verified citizen for herself, a window clerk on behalf of somebody (then without account)."""
    if caller.kind == "staff":
        if "window_clerk" not in caller.roles or command.channel != "window":
            raise ForbiddenError("staff take in applications at a window, as window clerks")
        return None, caller.subject
    if caller.kind not in {"person", "organisation"}:
        raise ForbiddenError("this is for persons and organisations")
    if caller.acr < 2:
        challenge = 'Bearer error="insufficient_user_authentication", acr_values="2"'
        raise StepUpRequiredError("verify your identity first", headers={"WWW-Authenticate": challenge})
    if command.channel == "window":
        fault = FieldError("channel", "own_channel", "applications at a window are taken in by its clerk")
        raise InvalidInputError("the channel does not fit", [fault])
    return UUID(caller.subject), None


@router.post("/applications", response_model=CaseRead, status_code=201, dependencies=[Once])
async def apply_for(command: Apply, session: Session, caller: CurrentCaller, at: At, response: Response) -> Any:
    """Apply, or as a window clerk take in an application on behalf (一窗受理)."""
    account, clerk = _applicant_account(command, caller)
    case = await use_cases.apply_for(session, command, account_id=account, clerk=clerk, owner=caller.subject, at=at)
    response.headers["location"] = f"/api/v1/cases/files/{case.id}"
    return _read(case, caller, response, at)


@router.get("/files", response_model=Page[CaseSummary])
async def list_own_cases(session: ReadSession, caller: CurrentCaller, limit: Limit = 50, cursor: Cursor = None) -> Any:
    """The caller's own cases."""
    after = decode_cursor(cursor, UUID)[0] if cursor else FIRST
    if caller.kind not in {"person", "organisation"}:
        return {"items": [], "next": None}
    rows, following = page_of(await queries.list_own(session, UUID(caller.subject), after, limit), limit, "id")
    return {"items": rows, "next": following}


@router.get("/files/{case_id}", response_model=CaseRead)
async def get_case(case_id: UUID, session: ReadSession, caller: CurrentCaller, response: Response) -> Any:
    """One case: whole for its applicant, masked for the officers of its department."""
    case = await queries.get_case(session, case_id)
    _check_reader(case, caller)
    return _read(case, caller, response)


@router.get("/files/{case_id}/timeline", response_model=list[StepRead])
async def get_timeline(case_id: UUID, session: ReadSession, caller: CurrentCaller) -> Any:
    """What happened, by whose role, when."""
    _check_reader(await queries.get_case(session, case_id), caller)
    return await queries.list_steps(session, case_id)


@router.get("/files/{case_id}/materials/{code}", response_class=Response)
async def get_material(
    case_id: UUID,
    code: str,
    session: ReadSession,
    caller: CurrentCaller,
    storage: Annotated[Storage, Depends(_storage)],
) -> Response:
    """The file that meets a material, as an attachment."""
    case = await queries.get_case(session, case_id)
    _check_reader(case, caller)
    found = next((material for material in case.materials if material["code"] == code), None)
    if found is None:
        raise NotFoundError("no such material in this case")
    headers = {"content-disposition": "attachment", "x-content-type-options": "nosniff"}
    return Response(await storage.get(found["digest"]), media_type=found["media_type"], headers=headers)


@router.post("/imports", response_model=Pushed, dependencies=[Once], max_body_size=MAX_FILE)
async def push_cases(command: PushCases, session: Session, system: Pusher) -> Any:
    """办件推送: a bureau's own system pushes its cases; good records land, faulty ones come back with row, field and rule."""
    return await use_cases.push_cases(session, command, system, clock.now())


@router.post("/tracking", response_model=Tracked)
async def track_case(command: Track, session: ReadSession, _caller: MaybeCaller) -> Any:
    """Where a case stands, by its number and the last four digits of the phone."""
    case = await use_cases.track_case(session, command)
    return {name: getattr(case, name) for name in Tracked.model_fields}


@router.get("/work-list", response_model=Page[CaseSummary])
async def list_work(
    session: ReadSession,
    officer: Officer,
    state: Annotated[State | None, Query()] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Any:
    """Open cases of the officer's department, the most urgent first."""
    after: list[Any] = decode_cursor(cursor, date.fromisoformat, UUID) if cursor else [date.min, FIRST]
    place = (officer.area or "", officer.department or "")
    rows = await queries.list_work(session, place, state, (after[0], after[1]), limit)
    page, following = page_of(rows, limit, "due_on", "id")
    return {"items": page, "next": following}


@router.post("/files/{case_id}/acceptance", response_model=CaseRead)
async def accept_case(
    case_id: UUID, session: Session, clerk: Clerk, expected: IfMatch, at: At, response: Response
) -> Any:
    """受理."""
    return _read(await use_cases.accept_case(session, case_id, expected, clerk, at), clerk, response, at)


@router.post("/files/{case_id}/non-acceptance", response_model=CaseRead)
async def refuse_acceptance(
    case_id: UUID,
    command: RefuseAcceptance,
    session: Session,
    clerk: Clerk,
    expected: IfMatch,
    at: At,
    response: Response,
) -> Any:
    """不予受理, with reasons."""
    case = await use_cases.refuse_acceptance(session, case_id, command, expected, clerk, at)
    return _read(case, clerk, response, at)


@router.post("/files/{case_id}/correction-requests", response_model=CaseRead)
async def request_correction(
    case_id: UUID,
    command: RequestCorrection,
    session: Session,
    clerk: Clerk,
    expected: IfMatch,
    at: At,
    response: Response,
) -> Any:
    """补正: everything missing, once."""
    case = await use_cases.request_correction(session, case_id, command, expected, clerk, at)
    return _read(case, clerk, response, at)


@router.post("/files/{case_id}/corrections", response_model=CaseRead)
async def correct_case(
    case_id: UUID,
    command: Correct,
    session: Session,
    caller: CurrentCaller,
    expected: IfMatch,
    at: At,
    response: Response,
) -> Any:
    """The applicant supplies what was missing."""
    case = await use_cases.correct_case(session, case_id, command, expected, caller, at)
    return _read(case, caller, response, at)


@router.post("/files/{case_id}/reviews", response_model=CaseRead)
async def review_case(
    case_id: UUID, command: Review, session: Session, approver: Approver, expected: IfMatch, at: At, response: Response
) -> Any:
    """审查 by one of at least two people."""
    case = await use_cases.review_case(session, case_id, command, expected, approver, at)
    return _read(case, approver, response, at)


@router.post("/files/{case_id}/decision", response_model=CaseRead)
async def decide_case(
    case_id: UUID, command: Decide, session: Session, leader: Leader, expected: IfMatch, at: At, response: Response
) -> Any:
    """决定 by a leader."""
    case = await use_cases.decide_case(session, case_id, command, expected, leader, at)
    return _read(case, leader, response, at)


@router.post("/files/{case_id}/delivery", response_model=CaseRead)
async def deliver_case(
    case_id: UUID,
    command: Deliver,
    session: Session,
    deliverer: Deliverer,
    expected: IfMatch,
    at: At,
    response: Response,
) -> Any:
    """送达 by a third person."""
    case = await use_cases.deliver_case(session, case_id, command, expected, deliverer, at)
    return _read(case, deliverer, response, at)


@router.post("/files/{case_id}/withdrawal", response_model=CaseRead)
async def withdraw_case(
    case_id: UUID, session: Session, caller: CurrentCaller, expected: IfMatch, at: At, response: Response
) -> Any:
    """撤回 by the applicant, before the decision."""
    return _read(await use_cases.withdraw_case(session, case_id, expected, caller, at), caller, response, at)


@router.post("/files/{case_id}/return", response_model=CaseRead)
async def return_case(
    case_id: UUID,
    command: RefuseAcceptance,
    session: Session,
    clerk: Clerk,
    expected: IfMatch,
    at: At,
    response: Response,
) -> Any:
    """退件: the gaps were never supplied."""
    case = await use_cases.return_case(session, case_id, command, expected, clerk, at)
    return _read(case, clerk, response, at)


@router.post("/development/timer-runs", response_model=TimerRan)
async def run_timers(command: TimerRun, request: Request, _administrator: Administrator) -> Any:
    """Run the timers once as if it were `as_of`; 404 in production."""
    if not request.app.state.settings.development:
        raise NotFoundError("only in development")
    if command.as_of.tzinfo is None:
        raise InvalidInputError("the time has no zone", [FieldError("as_of", "offset", "send it with its offset")])
    return {"deemed_accepted": await timers.deem_accepted(request.app.state.database, command.as_of)}
