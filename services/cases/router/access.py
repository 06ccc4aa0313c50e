"""Who may do and see what, and how a case is shown."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Request, Response

from services.cases import queries
from services.cases.model.base import Moment
from services.cases.model.case import Case
from services.cases.model.states import State
from services.cases.schemas.answers import CaseRead
from services.cases.settings import Settings
from services.cases.use_cases.numbers import Numbers
from shared import clock
from shared.database.session import Database
from shared.domain import masking
from shared.domain.workdays import WorkCalendar
from shared.errors import (
    FieldError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    StepUpRequiredError,
)
from shared.http.dependencies import Session
from shared.http.etags import etag
from shared.runtime.storage import Storage
from shared.security.auth import with_role, with_scope
from shared.security.tokens import Caller

STAFF = ("window_clerk", "approver", "leader", "delivery", "department_head")
Clerk = Annotated[Caller, Depends(with_role("window_clerk"))]
Approver = Annotated[Caller, Depends(with_role("approver"))]
Leader = Annotated[Caller, Depends(with_role("leader"))]
Handler = Annotated[Caller, Depends(with_role("window_clerk", "approver", "leader"))]
"""An officer who works on a case before its decision."""
Head = Annotated[Caller, Depends(with_role("department_head", "leader"))]
"""行政机关负责人: approves an extension."""
Deliverer = Annotated[Caller, Depends(with_role("delivery"))]
Officer = Annotated[Caller, Depends(with_role(*STAFF))]
Overseer = Annotated[Caller, Depends(with_role(*STAFF, "supervisor"))]
"""An officer of a department, or 督办 of an area."""
Pusher = Annotated[Caller, Depends(with_scope("cases:push"))]
FIRST = UUID(int=0)


async def _moment(session: Session) -> Moment:
    return Moment(clock.now(), await queries.get_calendar(session))


At = Annotated[Moment, Depends(_moment)]


# These wait for nothing and are async all the same: FastAPI hands a plain function to a thread.
async def _settings(request: Request) -> Settings:
    return request.app.state.settings


Config = Annotated[Settings, Depends(_settings)]


async def _database(request: Request) -> Database:
    return request.app.state.database


Db = Annotated[Database, Depends(_database)]
"""For endpoints whose work is more than one transaction."""


async def _storage(request: Request) -> Storage:
    return request.app.state.storage


Files = Annotated[Storage, Depends(_storage)]


async def _numbers(request: Request) -> Numbers:
    return request.app.state.numbers


CaseNumbers = Annotated[Numbers, Depends(_numbers)]


Shown = Case | Any
"""A case, or the row of it that `queries.read_case` gives."""


def is_own(case: Shown, caller: Caller) -> bool:
    """The caller's own; an agent's only in the matters of the mandate."""
    return (
        case.account_id is not None
        and str(case.account_id) == caller.subject
        and caller.covers(case.matter_id)
    )


def check_reader(case: Shown, caller: Caller) -> None:
    """The applicant, or staff of the case's own area and department; for everyone else it is not there."""
    staff = caller.kind == "staff" and bool(set(STAFF) & caller.roles)
    if not is_own(case, caller) and not (
        staff and (caller.area, caller.department) == (case.area_code, case.department_code)
    ):
        raise NotFoundError("no such case of yours")


def applicant_account(
    caller: Caller, channel: str, *matters: UUID
) -> tuple[UUID | None, str | None]:
    """Who applies: a verified citizen for herself, a window clerk on behalf of somebody (then without account)."""
    if caller.kind == "staff":
        if "window_clerk" not in caller.roles or channel != "window":
            raise ForbiddenError("staff take in applications at a window, as window clerks")
        return None, caller.subject
    if caller.kind not in {"person", "organisation"}:
        raise ForbiddenError("this is for persons and organisations")
    if not all(caller.covers(matter) for matter in matters):
        raise ForbiddenError("the mandate is not for this matter")
    if caller.acr < 2:
        challenge = 'Bearer error="insufficient_user_authentication", acr_values="2"'
        raise StepUpRequiredError(
            "verify your identity first", headers={"WWW-Authenticate": challenge}
        )
    if channel == "window":
        fault = FieldError(
            "channel", "own_channel", "applications at a window are taken in by its clerk"
        )
        raise InvalidInputError("the channel does not fit", [fault])
    return UUID(caller.subject), None


def read_case(
    case: Shown, caller: Caller, response: Response, calendar: WorkCalendar
) -> dict[str, Any]:
    """The answer, masked unless the reader is the applicant."""
    response.headers["etag"] = etag(case.revision)
    return show_case(case, caller, calendar)


def show_case(case: Shown, caller: Caller, calendar: WorkCalendar) -> dict[str, Any]:
    """What the caller sees of a case."""
    plain = is_own(case, caller)
    values = {
        name: getattr(case, name) for name in CaseRead.model_fields if name != "provisional_due"
    }
    if not plain:
        values["applicant_name"] = masking.mask_name(case.applicant_name)
        values["phone"] = masking.mask_phone(case.phone)
        if case.applicant_kind == "person":
            values["applicant_id_number"] = masking.mask_id_number(case.applicant_id_number)
    if case.state == State.WAITING:
        values["due_on"] = None
    today = clock.local_date(clock.now())
    values["provisional_due"] = calendar.is_provisional(today, max(today, case.due_on))
    return values
