"""HTTP in and out of invitations, visits, and the codes that windows show."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from services.ratings.access import (
    At,
    Clerk,
    Config,
    Displayer,
    check_invitation,
    language_of,
    place_of,
    qr_svg,
    read_tags,
)
from services.ratings.giving.use_cases import offer as use_cases_offer
from services.ratings.invitations.credentials import window_code
from services.ratings.invitations.model.invitation import Invitation
from services.ratings.invitations.queries import invitations, tokens
from services.ratings.invitations.schemas import (
    InvitationRead,
    InvitationShown,
    InviteVisit,
    SentMessage,
    VisitInvited,
    WindowCode,
)
from services.ratings.invitations.use_cases import keys, sms
from services.ratings.rating.schemas import Token
from services.ratings.schema_base import CaseNumber, Phone, Place
from shared import clock
from shared.errors import ConflictError, NotFoundError
from shared.http.dependencies import ReadSession, Session
from shared.http.idempotency import IdempotentRoute, Once
from shared.pagination import Cursor, Limit, Page, decode_cursor, page_of
from shared.security.auth import Administrator, Citizen, CurrentCaller
from shared.security.crypto import lookup_hash

router = APIRouter(route_class=IdempotentRoute)
FIRST = UUID(int=0)


@router.get("/invitations/{token}", response_model=InvitationShown)
async def show_invitation(
    token: Token, request: Request, session: Session, settings: Config, at: At
) -> Any:
    """What this token lets its holder rate, and the tags of each grade. A window's code is exchanged for a `rating_token`."""
    offer = await use_cases_offer.show_offer(session, token, settings, at)
    missed = not offer.rated and offer.open_until < at.today
    tags = read_tags(language_of(request))
    return {
        **offer.service,
        **{name: tags[name] for name in ("dictionary", "grades", "contents")},
        "open_until": offer.open_until,
        "rated": offer.rated,
        "ticket": offer.ticket,
        "default_grade": settings.default_grade if missed else None,
        "rating_token": offer.rating_token,
    }


@router.get("/invitations", response_model=Page[InvitationRead])
async def list_invitations(
    session: ReadSession, caller: Citizen, limit: Limit = 50, cursor: Cursor = None
) -> Any:
    """What the caller may rate, or has rated."""
    after = decode_cursor(cursor, UUID)[0] if cursor else FIRST
    rows = await invitations.list_invitations(session, UUID(caller.subject), after, limit)
    items, following = page_of(rows, limit, "id")
    return {"items": [one for one in items if caller.covers(one.matter_id)], "next": following}


@router.get("/service-events", response_model=list[InvitationRead])
async def list_service_events(
    session: ReadSession, clerk: Clerk, case_number: Annotated[CaseNumber, Query()]
) -> Any:
    """The service events of a case of one's department, to show the QR code of one at the window."""
    found = await invitations.list_of_case(session, case_number)
    place = place_of(clerk)
    return [one for one in found if (one.area_code, one.department_code) == place]


SVG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/svg+xml": {}}, "description": "The link as a QR code"}
}


@router.get("/invitation-codes/{invitation_id}", response_class=Response, responses=SVG)
async def show_code(
    invitation_id: UUID, session: Session, caller: CurrentCaller, settings: Config
) -> Response:
    """The link of an invitation as a QR code, for the applicant, and for a clerk to turn the screen to her (which is kept)."""
    invitation = await invitations.get_invitation(session, invitation_id)
    check_invitation(invitation, caller)
    if not invitation.kid or invitation.rated_at is not None:
        raise ConflictError("there is nothing to show: it is rated, or was not invited by a link")
    if caller.kind == "staff":
        window_code.record_shown(session, invitation)
    address = sms.link(settings.public_url, await keys.token_of(session, invitation))
    return Response(
        qr_svg(address), media_type="image/svg+xml", headers={"cache-control": "no-store"}
    )


@router.post("/visits", response_model=VisitInvited, status_code=201, dependencies=[Once])
async def invite_visit(
    command: InviteVisit, session: Session, clerk: Clerk, settings: Config, at: At
) -> Any:
    """Invite whoever holds this queue number today, once."""
    invitation: Invitation = await window_code.invite_visit(
        session, command, place_of(clerk), settings, at
    )
    address = sms.link(settings.public_url, await keys.token_of(session, invitation))
    return {"id": invitation.id, "link": address, "open_until": invitation.open_until}


@router.get("/window-codes", response_model=WindowCode)
async def show_window_code(
    displayer: Displayer,
    settings: Config,
    session: ReadSession,
    hall: Annotated[Place, Query()],
    window: Annotated[Place, Query()],
    response: Response,
) -> Any:
    """The code that a window of one's department shows now."""
    shown = window_code.show_code((*place_of(displayer), hall, window), settings, clock.now())
    address = sms.link(settings.public_url, shown.code)
    response.headers["cache-control"] = "no-store"
    return {"code": shown.code, "link": address, "svg": qr_svg(address), "valid_until": shown.until}


@router.get("/development/sms-messages", response_model=list[SentMessage])
async def list_sms_messages(
    session: ReadSession,
    settings: Config,
    _administrator: Administrator,
    phone: Annotated[Phone, Query()],
) -> Any:
    """What the development sender sent to a number; 404 in production."""
    if not settings.development:
        raise NotFoundError("only in development")
    rows = await tokens.list_messages(session, lookup_hash(phone, "phone"))
    return [{"sent_at": row.sent_at, "text": row.text} for row in rows]
