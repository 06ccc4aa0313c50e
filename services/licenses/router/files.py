"""HTTP in and out of licences: issuing and reading them."""

import asyncio
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Response

from services.licenses import printing
from services.licenses.model.identifiers import check_code, qr_token
from services.licenses.model.license import shown_number
from services.licenses.model.states import Status
from services.licenses.model.types import TypeCode, TypeDocument
from services.licenses.queries import licenses
from services.licenses.queries.licenses import FIRST, LicenseFilter
from services.licenses.router.access import Config, Issuer, Reader, check_reader, is_holder, show
from services.licenses.schemas.licenses import (
    IssueLicense,
    LicenseRead,
    LicenseSummary,
    StepRead,
    VersionRead,
    Why,
)
from services.licenses.settings import Settings
from services.licenses.use_cases import issue
from services.licenses.use_cases.checks import NAMES
from shared import clock
from shared.database import audit
from shared.errors import FieldError, ForbiddenError
from shared.http.bodies import FILE
from shared.http.dependencies import ReadSession, Session
from shared.http.idempotency import IdempotentRoute, Once
from shared.pagination import Cursor, Limit, Page, decode_cursor, page_of
from shared.security.auth import Citizen, CurrentCaller

router = APIRouter(route_class=IdempotentRoute)
PDF: dict[int | str, dict[str, Any]] = {
    200: {"description": "The licence", "content": {"application/pdf": {"schema": FILE}}}
}


@router.post("/licenses", response_model=LicenseRead, status_code=201, dependencies=[Once])
async def issue_license(
    command: IssueLicense, session: Session, issuer: Issuer, response: Response
) -> Any:
    """新发 by the department's officer or system; the holder's data come back masked."""
    license_id = await issue.issue_license(session, command, issuer, clock.now())
    response.headers["location"] = f"/api/v1/licenses/licenses/{license_id}"
    return show(await licenses.read_license(session, license_id), issuer, response)


@router.get("/licenses", response_model=Page[LicenseSummary])
async def list_own(
    session: ReadSession, caller: Citizen, limit: Limit = 50, cursor: Cursor = None
) -> Any:
    """The caller's own licences, of the account or of the organisation acted for."""
    after = decode_cursor(cursor, UUID)[0] if cursor else FIRST
    if caller.mandate is not None or (caller.kind == "person" and caller.act is not None):
        return {"items": [], "next": None}
    rows = await licenses.list_own(session, UUID(caller.subject), after, limit)
    page, following = page_of(rows, limit, "id")
    return {"items": [row._mapping for row in page], "next": following}


@router.get("/department-licenses", response_model=Page[LicenseSummary])
async def list_issued(
    session: ReadSession,
    officer: Reader,
    type_code: Annotated[TypeCode | None, Query()] = None,
    status: Annotated[Status | None, Query()] = None,
    number: Annotated[str | None, Query(max_length=60)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Any:
    """Licences of the officer's department, in the order they were made."""
    after = decode_cursor(cursor, UUID)[0] if cursor else FIRST
    which = LicenseFilter(type_code, status, number)
    rows = await licenses.list_issued(
        session, (officer.area or "", officer.department or ""), which, after, limit
    )
    page, following = page_of(rows, limit, "id")
    items = [{**row._mapping, "number": shown_number(row)} for row in page]
    return {"items": items, "next": following}


@router.get("/licenses/{license_id}", response_model=LicenseRead)
async def get_license(
    license_id: UUID, session: ReadSession, caller: CurrentCaller, response: Response
) -> Any:
    """One licence, to its holder or its department."""
    row = await licenses.read_license(session, license_id)
    check_reader(row, caller)
    return show(row, caller, response)


@router.get("/licenses/{license_id}/versions", response_model=list[VersionRead])
async def list_versions(license_id: UUID, session: ReadSession, caller: CurrentCaller) -> Any:
    """The chain of its versions, oldest first."""
    check_reader(await licenses.get_license(session, license_id), caller)
    return [row._mapping for row in await licenses.list_versions(session, license_id)]


@router.get("/licenses/{license_id}/steps", response_model=list[StepRead])
async def list_steps(license_id: UUID, session: ReadSession, caller: CurrentCaller) -> Any:
    """What was done to it, and why."""
    check_reader(await licenses.get_license(session, license_id), caller)
    return await licenses.list_steps(session, license_id)


@router.get("/licenses/{license_id}/pdf", response_class=Response, responses=PDF)
async def get_pdf(
    license_id: UUID, session: ReadSession, caller: CurrentCaller, settings: Config
) -> Response:
    """The sealed page for its holder; staff print with a reason. 422 when it holds a character that the fonts lack."""
    row = await licenses.read_license(session, license_id)
    check_reader(row, caller)
    if not is_holder(row, caller):
        fault = FieldError(
            "reason", "required", "say why the whole page must be seen, by POST to …/prints"
        )
        raise ForbiddenError(
            "the page shows everything unmasked: without a reason its holder alone gets it", [fault]
        )
    return await _print(row, settings)


@router.post("/licenses/{license_id}/prints", response_class=Response, responses=PDF)
async def print_license(
    license_id: UUID, command: Why, session: Session, officer: Reader, settings: Config
) -> Response:
    """The sealed page, unmasked, for the licence's department; who printed it, and why, is kept."""
    row = await licenses.read_license(session, license_id)
    check_reader(row, officer)
    audit.record(
        session, "license.print", "license", license_id, reason=command.reason, version=row.version
    )
    return await _print(row, settings)


async def _print(row: Any, settings: Settings) -> Response:
    definition = TypeDocument.model_validate(row.definition)
    token = qr_token(row.id, row.version)
    page = printing.Page(
        record=orjson.loads(row.record),
        labels={
            field.name: field.label.model_dump(exclude_none=True) for field in definition.fields
        },
        template=definition.template,
        digest=row.digest,
        check_url=f"{settings.public_url}/check/{token}",
        check_code=check_code(row.id),
        note=_note(row),
    )
    content = await asyncio.to_thread(printing.render, page)
    return Response(
        content, media_type="application/pdf", headers={"cache-control": "private, no-store"}
    )


def _note(row: Any) -> str:
    """What a page must say that is no evidence, or not yet made by the issuer's own hand."""
    if row.status != Status.VALID:
        return f"本证照状态：{NAMES[Status(row.status)]}，不得作为凭证使用"
    return "" if row.signed else "本证照信息由历史数据采集，尚未签发"
