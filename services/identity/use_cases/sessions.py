"""Sessions: the next pair of tokens, and their end.

A refresh token is used once: the row lock on its session makes parallel refreshes take turns, those that lost get the same
successor for a short grace, and any later use of an old token ends the whole family.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.identity import queries, security
from services.identity.model import Revocation, SignIn
from services.identity.schemas import Tokens
from services.identity.settings import Settings
from services.identity.use_cases.issuing import issue_tokens, refused
from shared.database import audit
from shared.database.session import Database
from shared.messaging import outbox

FEED_LOCK = 0x66656564  # "feed"


async def refresh_session(
    database: Database, token: str, settings: Settings, now: datetime
) -> Tokens:
    """The next pair. The token before the current one gets the same successor within the grace; later it ends the family."""
    async with database.transaction() as session:
        claimed = security.read_refresh_token(token)
        opened = await queries.find_session(session, claimed[0]) if claimed else None
        if claimed is None or opened is None or opened.revoked or opened.expires_at <= now:
            raise refused()
        account = await queries.get_account(session, opened.account_id)
        generation = claimed[1]
        in_grace = now - opened.rotated_at <= timedelta(seconds=settings.refresh_grace_seconds)
        if generation == opened.generation and account.active:
            opened.generation, opened.rotated_at = opened.generation + 1, now
            return await issue_tokens(session, account, opened, settings, now)
        if generation == opened.generation - 1 and in_grace and account.active:
            return await issue_tokens(session, account, opened, settings, now)
    async with database.transaction() as session:
        family = opened.id
        reason = "refresh token used again"
        _ = await end_sessions(
            session, account.id, reason, now, chosen=lambda one: one.descends_from(family)
        )
    raise refused()


async def end_session(
    session: AsyncSession, account_id: UUID, session_id: UUID, now: datetime
) -> bool:
    """Sign out one of the account's own sessions and those opened from it; False when there is none such."""
    ended = await end_sessions(
        session, account_id, "signed out", now, chosen=lambda one: one.descends_from(session_id)
    )
    return ended > 0


async def end_sessions(
    session: AsyncSession,
    account_id: UUID,
    reason: str,
    now: datetime,
    *,
    chosen: Callable[[SignIn], bool] = lambda _: True,
) -> int:
    """End an account's sessions at once, all or the chosen ones; their number. Locks the account first, then its sessions."""
    account = await queries.get_account(session, account_id, lock=True)
    ended = [
        one
        for one in await queries.list_sessions(session, account_id, now, lock=True)
        if chosen(one)
    ]
    if ended:
        for one in ended:
            one.revoked = True
        await revoke(session, [Revocation(session_id=one.id, at=now) for one in ended])
        outbox.add(session, account.sessions_revoked([one.id for one in ended], reason, now))
        audit.record(
            session, "session.revoke", "account", account_id, reason=reason, sessions=len(ended)
        )
    return len(ended)


async def revoke(session: AsyncSession, entries: list[Revocation]) -> None:
    """Append to the feed, one transaction after the other: its readers go by position and would miss one committed late."""
    _ = await session.execute(select(func.pg_advisory_xact_lock(FEED_LOCK)))
    session.add_all(entries)
