"""HTTP in and out of uploads and applications."""

from typing import Any

from fastapi import APIRouter, Request, Response

from services.cases.access import Files
from services.cases.applications.dependencies import CaseNumbers, applicant_account
from services.cases.applications.schemas.applications import Apply, UploadRead
from services.cases.applications.use_cases import apply, uploads
from services.cases.case_file.schemas import CaseRead
from services.cases.case_file.views import read_case
from shared import clock
from shared.http.bodies import file_body
from shared.http.dependencies import Session
from shared.http.idempotency import IdempotentRoute, Once
from shared.runtime.storage import MAX_FILE
from shared.security.auth import CurrentCaller

router = APIRouter(route_class=IdempotentRoute)


@router.post(
    "/uploads",
    response_model=UploadRead,
    status_code=201,
    max_body_size=MAX_FILE,
    openapi_extra=file_body("application/pdf", "image/png", "image/jpeg"),
)
async def upload_file(
    request: Request, session: Session, caller: CurrentCaller, storage: Files
) -> Any:
    """Bring a file (PDF, PNG, JPEG, at most 20 MiB) as the body; only its owner can use it."""
    return await uploads.store_upload(
        session, storage, await request.body(), caller.subject, clock.now()
    )


@router.post("/applications", response_model=CaseRead, status_code=201, dependencies=[Once])
async def apply_for(
    command: Apply,
    session: Session,
    caller: CurrentCaller,
    numbers: CaseNumbers,
    response: Response,
) -> Any:
    """Apply, or as a window clerk take in an application on behalf (一窗受理)."""
    account, clerk = applicant_account(caller, command.channel, command.matter_id)
    case, at = await apply.apply_for(
        session, command, numbers, account_id=account, clerk=clerk, caller=caller, now=clock.now()
    )
    response.headers["location"] = f"/api/v1/cases/files/{case.id}"
    return read_case(case, caller, response, at.calendar)
