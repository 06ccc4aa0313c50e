"""Every SELECT of keys, batches of tokens, uses of codes, and messages."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.invitations.model.keys import Redemption, SigningKey, TokenBatch
from services.ratings.invitations.model.uses import SmsMessage
from services.ratings.model_base import Office
from shared.database.direct import Direct
from shared.errors import NotFoundError

KEY_KEPT = timedelta(days=200)
"""Longer than any token that an old key signed can live."""
MESSAGES_MAX = 50


class WindowUses(NamedTuple):
    """Ratings of a window by its code: by this code, by this phone, and from this address."""

    code: int
    device: int
    address: int


_WINDOW_USES = Direct(
    "SELECT"
    " (SELECT count(*) FROM window_use WHERE window_hash = :window AND step = :step) AS code,"
    " (SELECT count(*) FROM (SELECT FROM window_use WHERE window_hash = :window"
    "  AND device_hash = :device AND used_at > :device_since LIMIT 1) d) AS device,"
    " (SELECT count(*) FROM window_use WHERE window_hash = :window"
    "  AND address_hash = :address AND used_at > :address_since) AS address",
    WindowUses,
)


async def count_window_uses(
    session: AsyncSession,
    *,
    window_hash: bytes,
    step: int,
    device_hash: bytes,
    device_since: datetime,
    address_hash: bytes,
    address_since: datetime,
) -> WindowUses:
    uses = await _WINDOW_USES.first(
        session,
        window=window_hash,
        step=step,
        device=device_hash,
        device_since=device_since,
        address=address_hash,
        address_since=address_since,
    )
    assert uses is not None
    return uses


async def find_key(session: AsyncSession, kid: str) -> SigningKey | None:
    return await session.get(SigningKey, kid)


async def list_keys(session: AsyncSession, now: datetime) -> Sequence[SigningKey]:
    """The keys that verifiers need."""
    is_needed = or_(SigningKey.retired_at.is_(None), SigningKey.retired_at > now - KEY_KEPT)
    statement = select(SigningKey).where(is_needed)
    return (await session.scalars(statement.order_by(SigningKey.created_at, SigningKey.kid))).all()


async def get_batch(session: AsyncSession, batch_id: UUID, *, lock: bool = False) -> TokenBatch:
    batch = await session.get(TokenBatch, batch_id, with_for_update=lock)
    if batch is None:
        raise NotFoundError("no such batch of yours")
    return batch


async def find_batch(session: AsyncSession, batch_id: UUID) -> TokenBatch | None:
    return await session.get(TokenBatch, batch_id)


async def list_batches(
    session: AsyncSession, office: Office | None, *, after: UUID, limit: int
) -> Sequence[TokenBatch]:
    """Batches of a department, or of all; one more than `limit`."""
    statement = select(TokenBatch).where(TokenBatch.id > after).order_by(TokenBatch.id)
    if office is not None:
        statement = statement.where(
            TokenBatch.area_code == office.area_code,
            TokenBatch.department_code == office.department_code,
        )
    return (await session.scalars(statement.limit(limit + 1))).all()


async def find_batches(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, TokenBatch]:
    """These batches by id, as far as there are any."""
    found = await session.scalars(select(TokenBatch).where(TokenBatch.id.in_(ids)))
    return {batch.id: batch for batch in found}


async def find_redemption(session: AsyncSession, subject_id: UUID) -> Redemption | None:
    # Read again: another transaction may have redeemed the token since it was looked up.
    return await session.get(Redemption, subject_id, populate_existing=True)


async def list_redemptions(
    session: AsyncSession, subject_ids: Sequence[UUID]
) -> Sequence[Redemption]:
    statement = select(Redemption).where(Redemption.subject_id.in_(subject_ids))
    return (await session.scalars(statement)).all()


async def list_messages(session: AsyncSession, phone_hash: bytes) -> Sequence[SmsMessage]:
    """Messages to a phone, the newest first."""
    statement = select(SmsMessage).where(SmsMessage.phone_hash == phone_hash)
    statement = statement.order_by(SmsMessage.sent_at.desc()).limit(MESSAGES_MAX)
    return (await session.scalars(statement)).all()
