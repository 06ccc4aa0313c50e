"""Sessions: the next pair of tokens, and their end.

A refresh token is used once. The row lock on its session makes parallel refreshes take turns;
those that come second get the same next token within a short grace. Any later use of an old
token ends the session and those opened from it.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.identity import queries, security
from services.identity.model import EndReason, Revocation, SignIn
from services.identity.schemas import Tokens
from services.identity.security import RefreshClaim
from services.identity.settings import Settings
from services.identity.use_cases.issuing import issue_tokens, refused
from shared.database import audit
from shared.database.direct import command
from shared.database.session import Database
from shared.messaging import outbox

LOCK_FEED = command("SELECT pg_advisory_xact_lock(1717921124)")
"""1717921124 is "feed" in ASCII."""


async def refresh_session(
    database: Database, token: str, *, settings: Settings, now: datetime
) -> Tokens:
    """The next pair of tokens.

    The token before the current one gets the same pair within the grace; later it ends the
    session and those opened from it.

    Raises:
        UnauthenticatedError: the token is not valid (any more).
    """
    async with database.transaction() as session:
        claim = security.read_refresh_token(token)
        if claim is None:
            raise refused()
        opened = await queries.lock_session(session, claim.session_id)
        if opened is None or opened.revoked or opened.expires_at <= now:
            raise refused()
        account = await queries.get_account(session, opened.account_id)
        is_current = claim.generation == opened.generation
        in_grace = _is_in_grace(opened, claim, settings=settings, now=now)
        if account.active and (is_current or in_grace):
            # A late one gets the same pair again, so two tabs that refresh at once both go on.
            if is_current:
                opened.generation += 1
                opened.rotated_at = now
            return await issue_tokens(session, account, opened=opened, settings=settings, now=now)
    await _end_reused(database, account.id, session_id=claim.session_id, now=now)
    raise refused()


async def _end_reused(
    database: Database, account_id: UUID, *, session_id: UUID, now: datetime
) -> None:
    """End a session whose old token was used again, and those opened from it."""
    # A transaction of its own: the refusal would roll it back.
    async with database.transaction() as session:
        _ = await end_sessions(
            session,
            account_id,
            reason=EndReason.TOKEN_REUSED,
            now=now,
            # An old token that is used again was stolen, or its successor was: both must stop.
            chosen=lambda one: one.descends_from(session_id),
        )


def _is_in_grace(opened: SignIn, claim: RefreshClaim, *, settings: Settings, now: datetime) -> bool:
    """Whether it is the token before the current one, sent by a client that lost the answer."""
    grace = timedelta(seconds=settings.refresh_grace_seconds)
    is_previous = claim.generation == opened.generation - 1
    return is_previous and now - opened.rotated_at <= grace


async def end_session(
    session: AsyncSession, account_id: UUID, *, session_id: UUID, now: datetime
) -> bool:
    """Sign out one of the account's sessions and those opened from it.

    Returns False where there is none.
    """
    ended = await end_sessions(
        session,
        account_id,
        reason=EndReason.SIGNED_OUT,
        now=now,
        chosen=lambda one: one.descends_from(session_id),
    )
    return ended > 0


async def end_sessions(
    session: AsyncSession,
    account_id: UUID,
    *,
    reason: EndReason,
    now: datetime,
    chosen: Callable[[SignIn], bool] | None = None,
) -> int:
    """End an account's sessions at once, all or the chosen ones; their number."""
    # The account first, then its sessions: everywhere in this order.
    account = await queries.get_account(session, account_id, lock=True)
    ended: list[SignIn] = []
    for one in await queries.list_sessions(session, account_id, now=now, lock=True):
        if chosen is None or chosen(one):
            one.revoked = True
            ended.append(one)
    if ended:
        await revoke(session, [Revocation(session_id=one.id, at=now) for one in ended])
        ids = [one.id for one in ended]
        outbox.add(session, account.sessions_revoked(ids, reason=reason, now=now))
        audit.record(
            session,
            "session.revoke",
            object_type="account",
            object_id=account_id,
            reason=reason,
            sessions=len(ended),
        )
    return len(ended)


async def revoke(session: AsyncSession, entries: Sequence[Revocation]) -> None:
    """Append to the feed, one transaction after the other.

    Readers go by position and would miss an entry that is committed after a later one.
    """
    await LOCK_FEED.execute(session)
    session.add_all(entries)
