"""Every SELECT about batches and how long they wait."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from services.exchange.batches.model import Batch, BatchReject
from services.exchange.peers.model import Peer
from shared.database.direct import Direct
from shared.errors import NotFoundError

# Receipts are large, and read by themselves.
WITHOUT_RECEIPTS = (defer(Batch.receipt), defer(Batch.final_receipt), defer(Batch.signature))


class OldestRow(NamedTuple):
    peer_code: str
    resource: str
    oldest: datetime


OLDEST = Direct(
    "SELECT peer_code, resource, min(received_at) AS oldest FROM batch WHERE state <> 'finished'"
    " AND (CAST(:peer AS text) IS NULL OR peer_code = CAST(:peer AS text))"
    " GROUP BY peer_code, resource",
    OldestRow,
)


async def find_batch(session: AsyncSession, peer: Peer, *, number: str) -> Batch | None:
    """By the peer's own id of it."""
    statement = select(Batch).where(Batch.peer_id == peer.id, Batch.number == number)
    return await session.scalar(statement)


async def get_batch(session: AsyncSession, batch_id: UUID, *, peer: Peer | None) -> Batch:
    """A batch of that peer, or of any when `peer` is None.

    Raises `NotFoundError` also for a batch of somebody else.
    """
    statement = select(Batch).where(Batch.id == batch_id).options(*WITHOUT_RECEIPTS)
    batch = await session.scalar(statement)
    if batch is None or (peer is not None and batch.peer_id != peer.id):
        raise NotFoundError("no such batch of yours")
    return batch


async def get_receipt(
    session: AsyncSession, batch_id: UUID, *, peer: Peer, stage: Literal["1", "2"]
) -> bytes:
    """The exact bytes that were signed. Raises `NotFoundError` also while there are none yet."""
    owned = (Batch.id == batch_id, Batch.peer_id == peer.id)
    if stage == "1":
        found = await session.scalar(select(Batch.receipt).where(*owned))
    else:
        found = await session.scalar(select(Batch.final_receipt).where(*owned))
    if found is None:
        raise NotFoundError("no such receipt of yours, or not yet")
    return found


async def list_batches(
    session: AsyncSession,
    peer: Peer | None,
    *,
    number: str | None,
    after: UUID | None,
    limit: int,
) -> Sequence[Batch]:
    """Newest first, one more than `limit`; of all peers when `peer` is None."""
    statement = select(Batch).options(*WITHOUT_RECEIPTS).order_by(Batch.id.desc()).limit(limit + 1)
    if peer is not None:
        statement = statement.where(Batch.peer_id == peer.id)
    if number is not None:
        statement = statement.where(Batch.number == number)
    if after is not None:
        statement = statement.where(Batch.id < after)
    return (await session.scalars(statement)).all()


async def lock_batches(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, Batch]:
    """In one order everywhere, so that two workers never wait for each other's rows."""
    statement = select(Batch).where(Batch.id.in_(ids)).order_by(Batch.id).with_for_update()
    return {batch.id: batch for batch in await session.scalars(statement)}


async def list_rejects(session: AsyncSession, batch_id: UUID) -> Sequence[BatchReject]:
    """The records that came back, by row."""
    statement = (
        select(BatchReject).where(BatchReject.batch_id == batch_id).order_by(BatchReject.row)
    )
    return (await session.scalars(statement)).all()


async def list_oldest_waiting(
    session: AsyncSession, peer_code: str | None
) -> dict[tuple[str, str], datetime]:
    """Since when the oldest unfinished batch of each peer and resource waits."""
    rows = await OLDEST.fetch(session, peer=peer_code)
    return {(row.peer_code, row.resource): row.oldest for row in rows}
