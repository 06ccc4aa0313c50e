"""HTTP endpoints of uploads and applications."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from services.cases.access import Files
from services.cases.applications.schemas import Apply, UploadRead
from services.cases.applications.use_cases import apply, uploads
from services.cases.case_file.schemas import CaseRead
from shared.database.serials import SerialAllocator
from shared.http.app import problem_responses
from shared.http.bodies import file_body
from shared.http.dependencies import Now, Session
from shared.http.etags import etag
from shared.http.idempotency import IdempotentRoute, Once
from shared.runtime.storage import MAX_FILE
from shared.security.auth import CurrentCaller

router = APIRouter(route_class=IdempotentRoute)


async def case_numbers(request: Request) -> SerialAllocator:
    """The allocator of this process."""
    return request.app.state.case_numbers


CaseNumbers = Annotated[SerialAllocator, Depends(case_numbers)]


@router.post(
    "/uploads",
    status_code=201,
    max_body_size=MAX_FILE,
    responses=problem_responses(507),
    openapi_extra=file_body("application/pdf", "image/png", "image/jpeg"),
)
async def upload_file(
    request: Request, session: Session, caller: CurrentCaller, storage: Files, now: Now
) -> UploadRead:
    """Bring a file (PDF, PNG, JPEG, at most 20 MiB) as the body; only its owner can use it."""
    upload = await uploads.store_upload(
        session, await request.body(), storage=storage, owner=caller.subject, now=now
    )
    return UploadRead(
        id=upload.id, digest=upload.digest, media_type=upload.media_type, size=upload.size
    )


@router.post("/applications", status_code=201, dependencies=[Once])
async def apply_for(
    *,
    command: Apply,
    session: Session,
    caller: CurrentCaller,
    numbers: CaseNumbers,
    now: Now,
    response: Response,
) -> CaseRead:
    """Apply, or as a window clerk take in an application on behalf (一窗受理)."""
    submitter = apply.submitter_of(caller, command.channel, matter_ids=[command.matter_id])
    case, at = await apply.apply_for(
        session, command, numbers=numbers, submitter=submitter, now=now
    )
    response.headers["location"] = f"/api/v1/cases/files/{case.id}"
    response.headers["etag"] = etag(case.revision)
    return CaseRead.of(case, caller, calendar=at.calendar)
