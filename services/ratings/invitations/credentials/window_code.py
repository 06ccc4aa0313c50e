"""By the rotating code of a window, or the token that it was exchanged for.

One code serves a few ratings (a window serves one person after the other), a phone rates a window
once in a while, an address only so often in an hour: whoever copies a code gains little.
"""

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.invitations.credentials.attempt import Attempt, Credential
from services.ratings.invitations.model.refusals import CodeUsedUpError, TokenExpiredError
from services.ratings.invitations.model.tokens import (
    Token,
    VisitClaims,
    Window,
    WindowStep,
    read_window_code,
)
from services.ratings.invitations.model.uses import WindowUse
from services.ratings.invitations.queries import invitations, tokens
from services.ratings.invitations.use_cases.visits import (
    check_step,
    lock_window,
    store_scanned_visit,
)
from services.ratings.rating.model.rating import Source
from services.ratings.settings import Settings
from shared.errors import FieldError, InvalidInputError, TooManyRequestsError
from shared.security.crypto import lookup_hash

ADDRESS_SPAN = timedelta(hours=1)
DEVICE_HASH_SHOWN = 32
"""Hexadecimal digits of the phone's hash in the name of a visit."""


async def prove(attempt: Attempt, grant: Token | None) -> Credential:
    """The right of the phone that scanned the code; `grant` is what it was exchanged for.

    Sent again by the same phone, the code stands for the same visit. Raises `InvalidInputError`
    where the phone is unknown, `TokenExpiredError`, `CodeUsedUpError` and `TooManyRequestsError`.
    """
    session = attempt.session
    caller = attempt.rater.caller
    device = _device_of(attempt)
    window, step = _scanned(attempt.command.token, grant)
    window_hash = lookup_hash("/".join(window), purpose="window")
    device_hash = lookup_hash(device, purpose="device")
    visit = _visit_name(window, step, device_hash=device_hash)
    # Else two ratings at once would both be counted as the last one that the code allows.
    await lock_window(session, window_hash)
    # A repetition is answered before any limit is looked at.
    known = await invitations.lock_visit(session, visit)
    if known is not None:
        return Credential.of_citizen(known, Source.WINDOW_CODE, caller=caller)
    _check_time(grant, step, attempt=attempt)
    await _use_up(attempt, step, window_hash=window_hash, device_hash=device_hash)
    invitation = await store_scanned_visit(session, visit, window=window, at=attempt.at)
    return Credential.of_citizen(invitation, Source.WINDOW_CODE, caller=caller)


def _visit_name(window: Window, step: int, *, device_hash: bytes) -> str:
    """The visit of one phone to a window in one step of time."""
    # It is stored, so it must not hold a phone in clear.
    place = "/".join(window)
    device = device_hash.hex()[:DEVICE_HASH_SHOWN]
    return f"window:{place}:{step}:{device}"


def _device_of(attempt: Attempt) -> str:
    """What the phone is known by; raises `InvalidInputError` where that is nothing."""
    # An account counts as one phone, whatever phones it is used on.
    if attempt.rater.caller is not None:
        return attempt.rater.caller.subject
    if attempt.command.device is None:
        error = FieldError(
            "device",
            "required",
            message="a window's code is used by one phone: name it, or sign in",
        )
        raise InvalidInputError("which phone is this?", [error])
    return attempt.command.device


def _scanned(code: str | None, grant: Token | None) -> WindowStep:
    """What the phone scanned; raises `TokenForgedError` for a code that is not ours."""
    if grant is not None:
        assert isinstance(grant.claims, VisitClaims)
        return WindowStep(grant.claims.window, grant.claims.step)
    assert code is not None
    return read_window_code(code)


def _check_time(grant: Token | None, step: int, *, attempt: Attempt) -> None:
    """Raise `TokenExpiredError` for a code, or what it was exchanged for, that is too old."""
    if grant is None:
        check_step(step, attempt.settings, now=attempt.at.now)
    elif attempt.at.now.timestamp() >= grant.expires:
        raise TokenExpiredError("scan the code that the window shows now")


async def _use_up(attempt: Attempt, step: int, *, window_hash: bytes, device_hash: bytes) -> None:
    """Count this use of the code; raises where it is one too many."""
    use = WindowUse(
        window_hash=window_hash,
        step=step,
        device_hash=device_hash,
        address_hash=lookup_hash(attempt.rater.address, purpose="address"),
        used_at=attempt.at.now,
    )
    await _check_uses(attempt.session, use, settings=attempt.settings)
    attempt.session.add(use)


async def _check_uses(session: AsyncSession, use: WindowUse, *, settings: Settings) -> None:
    """Raise where the code, the phone or the address has been used as often as it may."""
    uses = await tokens.count_window_uses(
        session,
        window_hash=use.window_hash,
        step=use.step,
        device_hash=use.device_hash,
        device_since=use.used_at - timedelta(minutes=settings.window_device_minutes),
        address_hash=use.address_hash,
        address_since=use.used_at - ADDRESS_SPAN,
    )
    if uses.code >= settings.window_code_ratings:
        raise CodeUsedUpError("this code has been used; scan the one that the window shows now")
    if uses.device:
        raise CodeUsedUpError("this phone has rated this window a moment ago")
    if uses.address >= settings.window_address_ratings:
        raise TooManyRequestsError(
            "too many ratings of this window from one place", headers={"Retry-After": "600"}
        )
