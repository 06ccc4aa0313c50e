"""Every SELECT about batches, their peers and figures."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from services.exchange.batches.model import Batch, BatchReject
from services.exchange.peers.model import Peer
from shared.errors import NotFoundError

SHOWN = (defer(Batch.receipt), defer(Batch.final_receipt), defer(Batch.signature))
"""Receipts are large, and read as they are."""
OLDEST = text(
    "SELECT peer_code, resource, min(received_at) AS oldest FROM batch WHERE state <> 'finished'"
    " AND (CAST(:peer AS text) IS NULL OR peer_code = :peer) GROUP BY peer_code, resource"
)


async def find_peer_of(session: AsyncSession, account_id: UUID) -> Peer | None:
    """The active peer whose system account this is."""
    return await session.scalar(select(Peer).where(Peer.account_id == account_id, Peer.active))


async def find_peer(session: AsyncSession, code: str) -> Peer | None:
    return await session.scalar(select(Peer).where(Peer.code == code))


async def find_batch(session: AsyncSession, peer_id: UUID, number: str) -> Batch | None:
    """By the peer's own id of it."""
    return await session.scalar(
        select(Batch).where(Batch.peer_id == peer_id, Batch.number == number)
    )


async def get_batch(session: AsyncSession, batch_id: UUID, peer_id: UUID | None) -> Batch:
    """Of that peer, or of any; for everybody else it is not there."""
    statement = select(Batch).where(Batch.id == batch_id).options(*SHOWN)
    batch = await session.scalar(statement)
    if batch is None or (peer_id is not None and batch.peer_id != peer_id):
        raise NotFoundError("no such batch of yours")
    return batch


async def get_receipt(session: AsyncSession, batch_id: UUID, peer_id: UUID, stage: int) -> bytes:
    """The exact bytes that were signed."""
    column = Batch.receipt if stage == 1 else Batch.final_receipt
    found = await session.scalar(
        select(column).where(Batch.id == batch_id, Batch.peer_id == peer_id)
    )
    if found is None:
        raise NotFoundError("no such receipt of yours, or not yet")
    return found


async def list_batches(
    session: AsyncSession, peer_id: UUID | None, number: str | None, after: UUID | None, limit: int
) -> Sequence[Batch]:
    """Newest first, one more than `limit`."""
    statement = select(Batch).options(*SHOWN).order_by(Batch.id.desc()).limit(limit + 1)
    if peer_id is not None:
        statement = statement.where(Batch.peer_id == peer_id)
    if number is not None:
        statement = statement.where(Batch.number == number)
    if after is not None:
        statement = statement.where(Batch.id < after)
    return (await session.scalars(statement)).all()


async def lock_batches(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, Batch]:
    """In one order everywhere, so that two workers cannot wait for each other in a ring."""
    statement = select(Batch).where(Batch.id.in_(ids)).order_by(Batch.id).with_for_update()
    return {batch.id: batch for batch in await session.scalars(statement)}


async def list_rejects(session: AsyncSession, batch_id: UUID) -> Sequence[BatchReject]:
    statement = (
        select(BatchReject).where(BatchReject.batch_id == batch_id).order_by(BatchReject.row)
    )
    return (await session.scalars(statement)).all()


async def list_oldest_waiting(
    session: AsyncSession, peer_code: str | None
) -> dict[tuple[str, str], datetime]:
    """Since when the oldest unfinished batch of each peer and resource waits."""
    rows: Any = await session.execute(OLDEST, {"peer": peer_code})
    return {(row.peer_code, row.resource): row.oldest for row in rows}


async def lock_order(session: AsyncSession, peer_code: str, resource: str) -> None:
    """One batch of a peer and resource at a time, so that chunks keep their order and a repeat meets the first."""
    _ = await session.execute(
        select(func.pg_advisory_xact_lock(func.hashtextextended(f"{peer_code}/{resource}", 0)))
    )
