"""What nobody needs any more: used codes and assertions, dead entries of the feed, forgotten failures."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Delete, delete
from sqlalchemy.ext.asyncio import AsyncSession

from services.identity.model import Revocation, SmsCode, SmsMessage, Throttle, UsedAssertion

DAY = timedelta(days=1)


async def prune(session: AsyncSession, now: datetime) -> None:
    """Budgets look back one day, the longest pause is half an hour, an access token is dead after fifteen minutes."""
    old: list[Delete[Any]] = [
        delete(SmsCode).where(SmsCode.created_at < now - DAY),
        delete(SmsMessage).where(SmsMessage.sent_at < now - 7 * DAY),
        delete(UsedAssertion).where(UsedAssertion.expires_at < now),
        delete(Revocation).where(Revocation.at < now - DAY),
        delete(Throttle).where(Throttle.blocked_until < now - DAY),
    ]
    for statement in old:
        _ = await session.execute(statement)
