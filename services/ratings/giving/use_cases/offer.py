"""What a token lets its holder rate, told before she rates."""

from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.invitations.credentials import printed_token, window_code
from services.ratings.invitations.credentials.find import believe, invitation_of
from services.ratings.invitations.model.tokens import Window, batch_subject
from services.ratings.invitations.queries import tokens
from services.ratings.settings import Settings
from services.ratings.tickets.queries.tickets import find_ticket_by_invitation
from shared.domain.workdays import Moment

SHOWN = [
    "stage",
    "service_number",
    "area_code",
    "department_code",
    "matter_code",
    "matter_name",
    "hall",
    "window",
]


@dataclass(frozen=True, slots=True)
class Offer:
    """A service as the holder of its token sees it, without anything that names a person or a case."""

    service: dict[str, Any]
    open_until: date
    rated: bool
    rating_token: str | None = None
    ticket: Any | None = None
    """Id and state, where this token gave a bad rating."""


def _visit(window: Window) -> dict[str, Any]:
    place = dict(zip(("area_code", "department_code", "hall", "window"), window, strict=True))
    return {
        **place,
        "stage": "visit",
        "service_number": 1,
        "matter_code": None,
        "matter_name": None,
    }


async def show_offer(
    session: AsyncSession, credential: str, settings: Settings, at: Moment
) -> Offer:
    """Read a link's token, a pre-issued one, or a window's code; the code is exchanged for a token of its own."""
    if window_code.is_code(credential):
        window, step = window_code.open_code(credential, settings, at.now)
        return Offer(
            _visit(window),
            at.today,
            rated=False,
            rating_token=await window_code.grant_visit(session, window, step, at.now),
        )
    token = await believe(session, credential)
    if "vis" in token.claims:
        return Offer(_visit(window_code.read_grant(token)[0]), at.today, rated=False)
    if "bat" in token.claims:
        found = await tokens.list_batches_by_id(session, [printed_token.batch_of(token)])
        batch = found[0] if found else None
        number = printed_token.number_in(token, batch)
        assert batch is not None
        used = await tokens.find_redemption(session, batch_subject(batch.id, number))
        window = (batch.area_code, batch.department_code, batch.hall, batch.window)
        ticket = await find_ticket_by_invitation(session, used.invitation_id) if used else None
        return Offer(_visit(window), batch.expires_on, rated=used is not None, ticket=ticket)
    invitation = await invitation_of(session, token)
    service, rated = (
        {name: getattr(invitation, name) for name in SHOWN},
        invitation.rated_at is not None,
    )
    ticket = await find_ticket_by_invitation(session, invitation.id) if rated else None
    return Offer(service, invitation.open_until, rated=rated, ticket=ticket)
