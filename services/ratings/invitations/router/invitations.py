"""HTTP in and out of invitations, visits, and the codes that windows show."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response

from services.ratings.access import Clerk, Config, Displayer, id_cursor, office_of
from services.ratings.calendar.dependencies import At
from services.ratings.invitations.model.invitation import Invitation
from services.ratings.invitations.model.tokens import Window
from services.ratings.invitations.queries import invitations
from services.ratings.invitations.schemas import (
    InvitationRead,
    InviteVisit,
    VisitInvited,
    WindowCode,
)
from services.ratings.invitations.use_cases import keys, sms, visits
from services.ratings.invitations.views import qr_svg, read_invitation
from services.ratings.model_base import Role
from services.ratings.schema_base import CaseNumber, Place
from shared import clock
from shared.errors import ConflictError, NotFoundError
from shared.http.dependencies import ReadSession, Session
from shared.http.idempotency import IdempotentRoute, Once
from shared.pagination import Cursor, Limit, Page, page_of
from shared.security.auth import Citizen, CurrentCaller
from shared.security.tokens import Caller, CallerKind

router = APIRouter(route_class=IdempotentRoute)


@router.get("/invitations")
async def list_invitations(
    session: ReadSession, caller: Citizen, limit: Limit = 50, cursor: Cursor = None
) -> Page[InvitationRead]:
    """What the caller may rate, or has rated."""
    rows = await invitations.list_invitations(
        session, UUID(caller.subject), after=id_cursor(cursor), limit=limit
    )
    page, next_cursor = page_of(rows, limit, "id")
    own: list[Invitation] = [one for one in page if caller.covers(one.matter_id)]
    return Page[InvitationRead](items=[read_invitation(one) for one in own], next=next_cursor)


@router.get("/service-events")
async def list_service_events(
    session: ReadSession, clerk: Clerk, case_number: Annotated[CaseNumber, Query()]
) -> list[InvitationRead]:
    """The service events of a case of one's department, to show one's QR code at the window."""
    office = office_of(clerk)
    found = await invitations.list_of_case(session, case_number)
    return [read_invitation(one) for one in found if one.office == office]


# Any: the type of FastAPI's own parameter.
SVG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/svg+xml": {}}, "description": "The link as a QR code"}
}


def _check_reader(invitation: Invitation, caller: Caller) -> None:
    """Raise `NotFoundError` for all but the applicant and the clerks of the department."""
    is_clerk = caller.kind is CallerKind.STAFF and Role.WINDOW_CLERK in caller.roles
    is_of_office = (caller.area, caller.department) == invitation.office
    if not invitation.is_of(caller) and not (is_clerk and is_of_office):
        raise NotFoundError("no such invitation of yours")


@router.get("/invitation-codes/{invitation_id}", response_class=Response, responses=SVG)
async def show_code(
    invitation_id: UUID, session: Session, caller: CurrentCaller, settings: Config
) -> Response:
    """The link of an invitation as a QR code.

    For the applicant, and for a clerk to turn the screen to her (which is kept).
    """
    invitation = await invitations.get_invitation(session, invitation_id)
    _check_reader(invitation, caller)
    if not invitation.kid or invitation.rated:
        raise ConflictError("there is nothing to show: it is rated, or was not invited by a link")
    if caller.kind is CallerKind.STAFF:
        await visits.record_shown(session, invitation)
    address = sms.link(settings.public_url, token=await keys.token_of(session, invitation))
    return Response(
        qr_svg(address), media_type="image/svg+xml", headers={"cache-control": "no-store"}
    )


@router.post("/visits", status_code=201, dependencies=[Once])
async def invite_visit(
    command: InviteVisit, session: Session, clerk: Clerk, settings: Config, at: At
) -> VisitInvited:
    """Invite whoever holds this queue number today, once."""
    invitation = await visits.invite_visit(
        session, command, office=office_of(clerk), settings=settings, at=at
    )
    address = sms.link(settings.public_url, token=await keys.token_of(session, invitation))
    return VisitInvited(id=invitation.id, link=address, open_until=invitation.open_until)


@router.get("/window-codes")
async def show_window_code(
    *,
    displayer: Displayer,
    settings: Config,
    session: ReadSession,
    hall: Annotated[Place, Query()],
    window: Annotated[Place, Query()],
    response: Response,
) -> WindowCode:
    """The code that a window of one's department shows now."""
    office = office_of(displayer)
    # `session` opens no connection; it holds the service's key, under which codes are made.
    shown = visits.current_code(
        Window(office.area_code, office.department_code, hall, window), settings, now=clock.now()
    )
    address = sms.link(settings.public_url, token=shown.code)
    response.headers["cache-control"] = "no-store"
    return WindowCode(code=shown.code, link=address, svg=qr_svg(address), valid_until=shown.until)
