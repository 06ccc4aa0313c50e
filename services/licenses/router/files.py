"""HTTP in and out of licenses: issuing, reading and printing them."""

import asyncio
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response

from services.licenses import printing
from services.licenses.model.identifiers import check_code, qr_token
from services.licenses.model.record import parse_record
from services.licenses.model.states import STATUS_NAMES, Status
from services.licenses.model.types import TypeCode
from services.licenses.queries import licenses
from services.licenses.queries.licenses import LicenseFilter, LicenseView
from services.licenses.router.access import Config, Issuer, Reader, check_reader, is_holder
from services.licenses.router.paging import after_id
from services.licenses.router.views import show_license, summarise
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
from services.licenses.use_cases.prints import record_print
from shared.errors import FieldError, ForbiddenError
from shared.http.bodies import FILE
from shared.http.dependencies import Now, ReadSession, Session
from shared.http.idempotency import IdempotentRoute, Once
from shared.pagination import Cursor, Limit, Page, page_of
from shared.security.auth import Citizen, CurrentCaller
from shared.security.tokens import CallerKind

router = APIRouter(route_class=IdempotentRoute)
# FastAPI's own type of `responses`.
PDF: dict[int | str, dict[str, Any]] = {
    200: {"description": "The license", "content": {"application/pdf": {"schema": FILE}}}
}


@router.post("/licenses", status_code=201, dependencies=[Once])
async def issue_license(
    command: IssueLicense, session: Session, issuer: Issuer, now: Now, response: Response
) -> LicenseRead:
    """新发 by the department's officer or system; the holder's data come back masked."""
    license_id = await issue.issue_license(session, command, caller=issuer, now=now)
    response.headers["location"] = f"/api/v1/licenses/licenses/{license_id}"
    view = await licenses.read_license(session, license_id)
    return show_license(view, issuer, headers=response.headers)


@router.get("/licenses")
async def list_own(
    session: ReadSession, caller: Citizen, limit: Limit = 50, cursor: Cursor = None
) -> Page[LicenseSummary]:
    """The caller's own licenses, of the account or of the organisation acted for."""
    after = after_id(cursor)
    is_agent = caller.kind is CallerKind.PERSON and caller.act is not None
    if caller.mandate is not None or is_agent:
        return Page[LicenseSummary](items=[])
    rows = await licenses.list_own(session, UUID(caller.subject), after=after, limit=limit)
    page, next_cursor = page_of(rows, limit, "id")
    items = [summarise(row, masked=False) for row in page]
    return Page[LicenseSummary](items=items, next=next_cursor)


@router.get("/department-licenses")
async def list_issued(
    *,
    session: ReadSession,
    officer: Reader,
    type_code: Annotated[TypeCode | None, Query()] = None,
    status: Annotated[Status | None, Query()] = None,
    number: Annotated[str | None, Query(max_length=60)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[LicenseSummary]:
    """Licenses of the officer's department, in the order they were made."""
    after = after_id(cursor)
    which = LicenseFilter(
        area_code=officer.area or "",
        department_code=officer.department or "",
        type_code=type_code,
        status=status,
        number=number,
    )
    rows = await licenses.list_issued(session, which, after=after, limit=limit)
    page, next_cursor = page_of(rows, limit, "id")
    items = [summarise(row, masked=True) for row in page]
    return Page[LicenseSummary](items=items, next=next_cursor)


@router.get("/licenses/{license_id}")
async def get_license(
    license_id: UUID, session: ReadSession, caller: CurrentCaller, response: Response
) -> LicenseRead:
    """One license, to its holder or its department."""
    view = await licenses.read_license(session, license_id)
    check_reader(view, caller)
    return show_license(view, caller, headers=response.headers)


@router.get("/licenses/{license_id}/versions")
async def list_versions(
    license_id: UUID, session: ReadSession, caller: CurrentCaller
) -> list[VersionRead]:
    """The chain of its versions, oldest first."""
    check_reader(await licenses.get_license(session, license_id), caller)
    versions: list[VersionRead] = []
    for row in await licenses.list_versions(session, license_id):
        versions.append(
            VersionRead(
                version=row.version,
                identifier=row.identifier,
                previous=row.previous,
                digest=row.digest,
                kid=row.kid,
                signature=row.signature,
                act=row.act,
                reason=row.reason,
                made_at=row.made_at,
            )
        )
    return versions


@router.get("/licenses/{license_id}/steps")
async def list_steps(
    license_id: UUID, session: ReadSession, caller: CurrentCaller
) -> list[StepRead]:
    """What was done to it, and why."""
    check_reader(await licenses.get_license(session, license_id), caller)
    steps: list[StepRead] = []
    for step in await licenses.list_steps(session, license_id):
        steps.append(
            StepRead(
                act=step.act,
                status=step.status,
                version=step.version,
                reason=step.reason,
                at=step.at,
            )
        )
    return steps


@router.get("/licenses/{license_id}/pdf", response_class=Response, responses=PDF)
async def get_pdf(
    license_id: UUID, session: ReadSession, caller: CurrentCaller, settings: Config
) -> Response:
    """The sealed page for its holder; staff print with a reason.

    422 when it holds a character that the fonts lack.
    """
    view = await licenses.read_license(session, license_id)
    check_reader(view, caller)
    if not is_holder(view, caller):
        fault = FieldError(
            "reason", "required", message="say why the whole page must be seen, by POST to …/prints"
        )
        raise ForbiddenError(
            "the page shows everything unmasked: without a reason its holder alone gets it", [fault]
        )
    return await _print(view, settings)


@router.post("/licenses/{license_id}/prints", response_class=Response, responses=PDF)
async def print_license(
    *,
    license_id: UUID,
    command: Why,
    session: Session,
    officer: Reader,
    now: Now,
    settings: Config,
) -> Response:
    """The sealed page, unmasked, for the license's department; who printed it and why is kept."""
    view = await licenses.read_license(session, license_id)
    check_reader(view, officer)
    await record_print(session, license_id, version=view.version, reason=command.reason, now=now)
    return await _print(view, settings)


async def _print(view: LicenseView, settings: Settings) -> Response:
    definition = view.definition()
    token = qr_token(view.id, view.version)
    page = printing.Page(
        record=parse_record(view.record),
        labels={field.name: field.label for field in definition.fields},
        template=definition.template,
        digest=view.digest,
        check_url=f"{settings.public_url}/check/{token}",
        check_code=check_code(view.id),
        note=_note(view),
    )
    content = await asyncio.to_thread(printing.render, page)
    return Response(
        content, media_type="application/pdf", headers={"cache-control": "private, no-store"}
    )


def _note(view: LicenseView) -> str:
    """What a page must say that is no evidence, or not signed by the issuer yet."""
    if view.status is not Status.VALID:
        return f"本证照状态：{STATUS_NAMES[view.status]}，不得作为凭证使用"
    if not view.signed:
        return "本证照信息由历史数据采集，尚未签发"
    return ""
