"""What a token lets its holder rate, shown before the rating."""

from dataclasses import dataclass
from datetime import date

from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.invitations.model.invitation import VISIT_NUMBER
from services.ratings.invitations.model.refusals import TokenForeignError
from services.ratings.invitations.model.tokens import (
    BatchClaims,
    LinkClaims,
    Token,
    VisitClaims,
    Window,
    batch_subject,
    is_window_code,
)
from services.ratings.invitations.queries import invitations, tokens
from services.ratings.invitations.use_cases import visits
from services.ratings.invitations.use_cases.batches import batch_of
from services.ratings.invitations.use_cases.keys import verify_token
from services.ratings.rating.model.service_event import Stage
from services.ratings.settings import Settings
from services.ratings.tickets.queries.tickets import TicketStatus, find_status_by_invitation
from shared.domain.workdays import Moment


@dataclass(frozen=True, slots=True)
class Offer:
    """A service as the holder of its token sees it: nothing names a person or a case.

    `ticket` is that of a bad rating that this token gave. `rating_token` is what a window's code
    was exchanged for.
    """

    stage: Stage
    service_number: int
    area_code: str
    department_code: str
    hall: str | None
    window: str | None
    open_until: date
    rated: bool
    matter_code: str | None = None
    matter_name: str | None = None
    rating_token: str | None = None
    ticket: TicketStatus | None = None


def _offer_visit(
    window: Window,
    *,
    open_until: date,
    rated: bool = False,
    rating_token: str | None = None,
    ticket: TicketStatus | None = None,
) -> Offer:
    return Offer(
        stage=Stage.VISIT,
        service_number=VISIT_NUMBER,
        area_code=window.area_code,
        department_code=window.department_code,
        hall=window.hall,
        window=window.name,
        open_until=open_until,
        rated=rated,
        rating_token=rating_token,
        ticket=ticket,
    )


async def show_offer(
    session: AsyncSession, token_text: str, *, settings: Settings, at: Moment
) -> Offer:
    """What a link's token, a pre-issued one, or a window's code lets its holder rate.

    The code is exchanged for a token of its own. Raises `TokenForgedError`, `TokenForeignError`,
    and `TokenExpiredError` for a code.
    """
    if is_window_code(token_text):
        # Exchanged at once, so that nobody must type before the window shows the next code.
        opened = visits.open_code(token_text, settings, now=at.now)
        grant = await visits.grant_visit(session, opened, now=at.now)
        return _offer_visit(opened.window, open_until=at.today, rating_token=grant)
    token = await verify_token(session, token_text)
    match token.claims:
        # Whether this phone has rated is not said here: the token does not name the phone.
        case VisitClaims(window):
            return _offer_visit(window, open_until=at.today)
        case BatchClaims() as claims:
            return await _offer_printed(session, token, claims=claims)
        case LinkClaims() as claims:
            return await _offer_link(session, claims)


async def _offer_printed(session: AsyncSession, token: Token, *, claims: BatchClaims) -> Offer:
    batch = batch_of(token, claims, batches=await tokens.find_batches(session, [claims.batch_id]))
    redemption = await tokens.find_redemption(session, batch_subject(batch.id, claims.number))
    # The same token shows what was done about a bad rating.
    ticket = None
    if redemption is not None:
        ticket = await find_status_by_invitation(session, redemption.invitation_id)
    window = Window(batch.area_code, batch.department_code, batch.hall, batch.window)
    return _offer_visit(
        window, open_until=batch.expires_on, rated=redemption is not None, ticket=ticket
    )


async def _offer_link(session: AsyncSession, claims: LinkClaims) -> Offer:
    # Locked: a rating that is just being given is waited for.
    invitation = await invitations.lock_invitation(session, claims.invitation_id)
    if invitation is None:
        raise TokenForeignError("this token belongs to no service here")
    ticket = None
    if invitation.rated:
        ticket = await find_status_by_invitation(session, invitation.id)
    return Offer(
        stage=invitation.stage,
        service_number=invitation.service_number,
        area_code=invitation.area_code,
        department_code=invitation.department_code,
        hall=invitation.hall,
        window=invitation.window,
        open_until=invitation.open_until,
        rated=invitation.rated,
        matter_code=invitation.matter_code,
        matter_name=invitation.matter_name,
        ticket=ticket,
    )
