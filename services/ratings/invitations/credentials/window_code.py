"""Visits without a case: invited by queue number, or by a window's rotating code.

A code stands for one step of time and is taken during the next as well. Opening it gives a signed token of a quarter of an
hour, so that nobody must type against the clock. One code serves a few ratings (a window serves one person after the
other), a phone rates a window once in a while, an address only so often in an hour: whoever copies a code gains little.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.invitations.model.invitation import Invitation
from services.ratings.invitations.model.refusals import (
    CodeUsedUpError,
    TokenExpiredError,
    TokenForeignError,
)
from services.ratings.invitations.model.tokens import (
    CODE_PREFIX,
    Token,
    Window,
    forged,
    invitation_claims,
    read_window_code,
    step_of,
    token_hash,
    visit_subject,
    window_code,
)
from services.ratings.invitations.model.uses import WindowUse
from services.ratings.invitations.queries import invitations
from services.ratings.invitations.schemas import InviteVisit
from services.ratings.invitations.use_cases.invite import Invited, store_invitations
from services.ratings.invitations.use_cases.keys import get_signer
from services.ratings.settings import Settings
from shared.database import audit
from shared.domain.workdays import Moment
from shared.errors import FieldError, InvalidInputError, TooManyRequestsError
from shared.security.crypto import lookup_hash

GRANT = timedelta(minutes=15)
ALONE = text("SELECT pg_advisory_xact_lock(:key)")
USES = text(
    "SELECT (SELECT count(*) FROM window_use WHERE window_hash = :window AND step = :step) AS code,"
    " (SELECT count(*) FROM (SELECT FROM window_use WHERE window_hash = :window AND device_hash = :device"
    "  AND used_at > :device_since LIMIT 1) d) AS device,"
    " (SELECT count(*) FROM window_use WHERE window_hash = :window AND address_hash = :address"
    "  AND used_at > :address_since) AS address"
)
FORGET = text("DELETE FROM window_use WHERE used_at < :before")


@dataclass(frozen=True, slots=True)
class Shown:
    """The code that a window shows now."""

    code: str
    until: datetime


def show_code(window: Window, settings: Settings, now: datetime) -> Shown:
    step = step_of(now, settings.window_code_seconds)
    until = datetime.fromtimestamp((step + 1) * settings.window_code_seconds, tz=now.tzinfo)
    return Shown(window_code(window, step), until)


async def invite_visit(
    session: AsyncSession,
    command: InviteVisit,
    place: tuple[str, str],
    settings: Settings,
    at: Moment,
) -> Invitation:
    """The invitation of this queue number of this day, made once."""
    if command.day != at.today:
        fault = FieldError("day", "today", "a visit is invited on its own day")
        raise InvalidInputError("this visit is not of today", [fault])
    visit = "queue:" + "/".join((*place, command.hall, f"{command.day}", command.queue_number))
    signer = await get_signer(session, at.now)
    subject, open_until = visit_subject(visit), at.after(settings.supplementary_days)
    invited = Invited(
        id=subject,
        stage="visit",
        service_number=1,
        area_code=place[0],
        department_code=place[1],
        kid=signer.kid,
        token_hash=token_hash(signer.sign(invitation_claims(subject, open_until))),
        invited_at=at.now,
        open_until=open_until,
        visit=visit,
        hall=command.hall,
        window=command.window,
    )
    _ = await store_invitations(session, [invited])
    return await invitations.get_invitation(session, subject)


def open_code(code: str, settings: Settings, now: datetime) -> tuple[Window, int]:
    """Window and step of a code that still stands."""
    window, step = read_window_code(code)
    if not step <= step_of(now, settings.window_code_seconds) <= step + 1:
        raise TokenExpiredError("this code has changed; scan the one that the window shows now")
    return window, step


async def grant_visit(session: AsyncSession, window: Window, step: int, now: datetime) -> str:
    """A token to rate with what a code was opened for."""
    signer = await get_signer(session, now)
    return signer.sign({"vis": [*window, step], "exp": int((now + GRANT).timestamp())})


def read_grant(token: Token) -> tuple[Window, int]:
    try:
        area, department, hall, window, step = token.claims["vis"]
        return (area, department, hall, window), int(step)
    except (ValueError, TypeError):
        raise forged() from None


@dataclass(frozen=True, slots=True)
class Phone:
    """Where a rating by a window's code comes from."""

    device: str
    address: str


async def visit_of(
    session: AsyncSession,
    credential: str,
    grant: Token | None,
    phone: Phone,
    settings: Settings,
    at: Moment,
) -> Invitation:
    """The visit that this phone rates by a window's code (or what it was exchanged for); the same again for a repetition."""
    window, step = read_grant(grant) if grant is not None else read_window_code(credential)
    window_hash = lookup_hash("/".join(window), "window")
    device_hash = lookup_hash(phone.device, "device")
    visit = f"window:{'/'.join(window)}:{step}:{device_hash.hex()[:32]}"
    _ = await session.execute(ALONE, {"key": int.from_bytes(window_hash[:7])})
    known = await invitations.find_by_visit(session, visit)
    if known is not None:
        return known
    if grant is None:
        _ = open_code(credential, settings, at.now)
    elif at.now.timestamp() >= grant.expires:
        raise TokenExpiredError("scan the code that the window shows now")
    address_hash = lookup_hash(phone.address, "address")
    key: dict[str, Any] = {
        "window": window_hash,
        "step": step,
        "device": device_hash,
        "address": address_hash,
    }
    await _check_uses(session, key, settings, at.now)
    session.add(
        WindowUse(
            window_hash=window_hash,
            step=step,
            device_hash=device_hash,
            address_hash=address_hash,
            used_at=at.now,
        )
    )
    return await _store_visit(session, window, visit, at)


async def _check_uses(
    session: AsyncSession, key: dict[str, Any], settings: Settings, now: datetime
) -> None:
    since = {
        "device_since": now - timedelta(minutes=settings.window_device_minutes),
        "address_since": now - timedelta(hours=1),
    }
    used = (await session.execute(USES, {**key, **since})).one()
    if used.code >= settings.window_code_ratings:
        raise CodeUsedUpError("this code has been used; scan the one that the window shows now")
    if used.device:
        raise CodeUsedUpError("this phone has rated this window a moment ago")
    if used.address >= settings.window_address_ratings:
        raise TooManyRequestsError(
            "too many ratings of this window from one place", headers={"Retry-After": "600"}
        )


async def _store_visit(session: AsyncSession, window: Window, visit: str, at: Moment) -> Invitation:
    area, department, hall, name = window
    subject = visit_subject(visit)
    invited = Invited(
        id=subject,
        stage="visit",
        service_number=1,
        area_code=area,
        department_code=department,
        kid="",
        token_hash=token_hash(visit),
        invited_at=at.now,
        open_until=at.today,
        visit=visit,
        hall=hall,
        window=name,
    )
    _ = await store_invitations(session, [invited])
    invitation = await invitations.lock_invitation(session, subject)
    assert invitation is not None
    return invitation


def is_code(credential: str) -> bool:
    return credential.startswith(CODE_PREFIX)


def other_case(invitation: Invitation, case_number: str | None) -> None:
    """Refuse a token that names another case than the rater does."""
    if case_number is not None and invitation.case_number != case_number:
        raise TokenForeignError("this token belongs to another service than the one named")


async def forget_uses(session: AsyncSession, before: datetime) -> None:
    _ = await session.execute(FORGET, {"before": before})


def record_shown(session: AsyncSession, invitation: Invitation) -> None:
    """A clerk has a code on the screen: whoever looks into a suspicion wants to know."""
    audit.record(session, "invitation.show-code", "invitation", invitation.id)
