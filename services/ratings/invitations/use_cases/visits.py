"""Visits without a case: invited by queue number, or by a window's rotating code.

A code stands for one step of time and is accepted during the next as well. Opening it gives a
signed token that lives a quarter of an hour, so that nobody must type against the clock.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.invitations.model.invitation import Invitation, new_visit
from services.ratings.invitations.model.refusals import TokenExpiredError
from services.ratings.invitations.model.tokens import (
    Window,
    WindowStep,
    link_claims,
    read_window_code,
    step_of,
    token_hash,
    visit_claims,
    visit_subject,
    window_code,
)
from services.ratings.invitations.queries import invitations
from services.ratings.invitations.schemas import InviteVisit
from services.ratings.invitations.use_cases.invite import store_invitations
from services.ratings.invitations.use_cases.keys import get_signer
from services.ratings.journal import Action, Entry, Journal
from services.ratings.model_base import Office
from services.ratings.settings import Settings
from shared.database.direct import command
from shared.domain.workdays import Moment
from shared.errors import FieldError, InvalidInputError

GRANT_LIFE = timedelta(minutes=15)
FORGET_USES = command("DELETE FROM window_use WHERE used_at < :before")
LOCK_WINDOW = text("SELECT pg_advisory_xact_lock(:key)")


async def invite_visit(
    session: AsyncSession, form: InviteVisit, *, office: Office, settings: Settings, at: Moment
) -> Invitation:
    """The invitation of this queue number of this day, made once."""
    if form.day != at.today:
        error = FieldError("day", "today", message="a visit is invited on its own day")
        raise InvalidInputError("this visit is not of today", [error])
    # The day is part of the name: queue numbers begin anew every day.
    visit = "queue:" + "/".join((*office, form.hall, f"{form.day}", form.queue_number))
    visit_id = visit_subject(visit)
    open_until = at.after(settings.supplementary_days)
    signer = await get_signer(session, at.now)
    token = signer.sign(link_claims(visit_id, open_until))
    invitation = new_visit(
        visit_id,
        visit,
        office=office,
        hall=form.hall,
        window=form.window,
        kid=signer.kid,
        token_hash=token_hash(token),
        invited_at=at.now,
        open_until=open_until,
    )
    _ = await store_invitations(session, [invitation])
    # Read again: of two calls for one number the second gets what the first has stored.
    return await invitations.get_invitation(session, visit_id)


@dataclass(frozen=True, slots=True)
class CurrentCode:
    """The code that a window shows until `until`."""

    code: str
    until: datetime


def current_code(window: Window, settings: Settings, *, now: datetime) -> CurrentCode:
    seconds = settings.window_code_seconds
    step = step_of(now, seconds)
    until = datetime.fromtimestamp((step + 1) * seconds, tz=now.tzinfo)
    return CurrentCode(window_code(window, step), until)


def open_code(code: str, settings: Settings, *, now: datetime) -> WindowStep:
    """What a code stands for; raises `TokenExpiredError` for one that is accepted no more."""
    opened = read_window_code(code)
    check_step(opened.step, settings, now=now)
    return opened


def check_step(step: int, settings: Settings, *, now: datetime) -> None:
    """Raise `TokenExpiredError` for the code of a step that is accepted no more."""
    current = step_of(now, settings.window_code_seconds)
    # The next step too: a code that was scanned at the last second must not fail.
    if not step <= current <= step + 1:
        raise TokenExpiredError("this code has changed; scan the one that the window shows now")


async def grant_visit(session: AsyncSession, opened: WindowStep, *, now: datetime) -> str:
    """A token to rate with, in exchange for a code."""
    signer = await get_signer(session, now)
    return signer.sign(visit_claims(opened.window, opened.step, expires_at=now + GRANT_LIFE))


async def lock_window(session: AsyncSession, window_hash: bytes) -> None:
    """Make the ratings of one window by its code wait for each other, so that uses are counted."""
    # Seven bytes: an advisory lock is a signed number of eight.
    _ = await session.execute(LOCK_WINDOW, {"key": int.from_bytes(window_hash[:7])})


async def store_scanned_visit(
    session: AsyncSession, visit: str, *, window: Window, at: Moment
) -> Invitation:
    """The invitation of a phone that scanned a window's code, locked; it ends with the day."""
    visit_id: UUID = visit_subject(visit)
    invitation = new_visit(
        visit_id,
        visit,
        office=window.office,
        hall=window.hall,
        window=window.name,
        # No link: the visit is rated with the code itself.
        kid="",
        token_hash=token_hash(visit),
        invited_at=at.now,
        open_until=at.today,
    )
    _ = await store_invitations(session, [invitation])
    stored = await invitations.lock_invitation(session, visit_id)
    assert stored is not None
    return stored


async def record_shown(session: AsyncSession, invitation: Invitation) -> None:
    """A clerk has a code on the screen: whoever looks into a suspicion wants to know."""
    journal = Journal(session)
    journal.append(Entry(Action.SHOW_CODE, invitation.id))
    await journal.write()


async def forget_uses(session: AsyncSession, *, before: datetime) -> None:
    await FORGET_USES.execute(session, before=before)
