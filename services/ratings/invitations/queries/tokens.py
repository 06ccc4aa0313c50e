"""Keys, batches of tokens, messages."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.invitations.model.keys import Redemption, SigningKey, TokenBatch
from services.ratings.invitations.model.uses import SmsMessage
from shared.errors import NotFoundError

KEY_KEPT = timedelta(days=200)
"""Longer than any token that an old key signed can live."""


async def find_key(session: AsyncSession, kid: str) -> SigningKey | None:
    return await session.get(SigningKey, kid)


async def list_keys(session: AsyncSession, now: datetime) -> Sequence[SigningKey]:
    """The keys that verifiers need."""
    statement = select(SigningKey).where(
        or_(SigningKey.retired_at.is_(None), SigningKey.retired_at > now - KEY_KEPT)
    )
    return (await session.scalars(statement.order_by(SigningKey.created_at, SigningKey.kid))).all()


async def get_batch(session: AsyncSession, batch_id: UUID, *, lock: bool = False) -> TokenBatch:
    batch = await session.get(TokenBatch, batch_id, with_for_update=lock)
    if batch is None:
        raise NotFoundError("no such batch of yours")
    return batch


async def list_batches(
    session: AsyncSession, place: tuple[str, str] | None, after: UUID, limit: int
) -> Sequence[TokenBatch]:
    """Batches of a department, or of all."""
    statement = select(TokenBatch).where(TokenBatch.id > after).order_by(TokenBatch.id)
    if place is not None:
        statement = statement.where(
            TokenBatch.area_code == place[0], TokenBatch.department_code == place[1]
        )
    return (await session.scalars(statement.limit(limit + 1))).all()


async def list_batches_by_id(session: AsyncSession, ids: Sequence[UUID]) -> Sequence[TokenBatch]:
    return (await session.scalars(select(TokenBatch).where(TokenBatch.id.in_(ids)))).all()


async def find_redemption(session: AsyncSession, subject_id: UUID) -> Redemption | None:
    return await session.get(Redemption, subject_id, populate_existing=True)


async def list_redemptions(
    session: AsyncSession, subject_ids: Sequence[UUID]
) -> Sequence[Redemption]:
    return (
        await session.scalars(select(Redemption).where(Redemption.subject_id.in_(subject_ids)))
    ).all()


async def list_messages(session: AsyncSession, phone_hash: bytes) -> Sequence[SmsMessage]:
    statement = (
        select(SmsMessage)
        .where(SmsMessage.phone_hash == phone_hash)
        .order_by(SmsMessage.sent_at.desc())
    )
    return (await session.scalars(statement.limit(50))).all()
