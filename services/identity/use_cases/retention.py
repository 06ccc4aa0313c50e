"""How long temporary rows are kept."""

from datetime import datetime, timedelta

from sqlalchemy import Delete, delete
from sqlalchemy.ext.asyncio import AsyncSession

from services.identity.model import Revocation, SmsCode, SmsMessage, Throttle, UsedAssertion

# Limits of SMS codes look back one day, the longest pause is half an hour, and an access token
# is dead after fifteen minutes.
KEPT = timedelta(days=1)
MESSAGES_KEPT = timedelta(days=7)


async def delete_expired(session: AsyncSession, now: datetime) -> None:
    """Delete old codes, messages, assertions, entries of the feed and failures."""
    statements: list[Delete] = [
        delete(SmsCode).where(SmsCode.created_at < now - KEPT),
        delete(SmsMessage).where(SmsMessage.sent_at < now - MESSAGES_KEPT),
        delete(UsedAssertion).where(UsedAssertion.expires_at < now),
        delete(Revocation).where(Revocation.at < now - KEPT),
        delete(Throttle).where(Throttle.blocked_until < now - KEPT),
    ]
    for statement in statements:
        _ = await session.execute(statement)
