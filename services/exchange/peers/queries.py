"""Every SELECT about peers and their figures."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.peers.model import Peer, ReceiptKey, RecordCount
from shared.database.direct import Direct
from shared.errors import NotFoundError

FIRST_ID = UUID(int=0)
"""Before every id."""


class CountRow(NamedTuple):
    peer_code: str
    resource: str
    measure: str
    value: int


async def get_peer(session: AsyncSession, peer_id: UUID, *, lock: bool = False) -> Peer:
    peer = await session.get(Peer, peer_id, with_for_update=lock)
    if peer is None:
        raise NotFoundError("no such peer")
    return peer


async def find_active_peer_of(session: AsyncSession, account_id: UUID) -> Peer | None:
    """The active peer whose system account this is; a deactivated one is not found."""
    statement = select(Peer).where(Peer.account_id == account_id, Peer.active)
    return await session.scalar(statement)


async def find_active_peer(session: AsyncSession, code: str) -> Peer | None:
    """The active peer with this code; a deactivated one is not found."""
    return await session.scalar(select(Peer).where(Peer.code == code, Peer.active))


async def find_other(
    session: AsyncSession, code: str, *, account_id: UUID | None, peer_id: UUID | None
) -> Peer | None:
    """A peer other than `peer_id` that has this code or this account already."""
    same = Peer.code == code
    if account_id is not None:
        same = same | (Peer.account_id == account_id)
    statement = select(Peer).where(same)
    if peer_id is not None:
        statement = statement.where(Peer.id != peer_id)
    return await session.scalar(statement.limit(1))


async def list_peers(session: AsyncSession, after: UUID, *, limit: int) -> Sequence[Peer]:
    """By id, one more than `limit`."""
    statement = select(Peer).where(Peer.id > after).order_by(Peer.id).limit(limit + 1)
    return (await session.scalars(statement)).all()


_counts = select(
    RecordCount.peer_code, RecordCount.resource, RecordCount.measure, RecordCount.value
).order_by(RecordCount.peer_code, RecordCount.resource, RecordCount.measure)


async def list_counts(session: AsyncSession, peer_code: str | None) -> list[CountRow]:
    """All running figures, of one peer or of all."""
    statement = _counts
    if peer_code is not None:
        statement = statement.where(RecordCount.peer_code == peer_code)
    return [CountRow(*row) for row in await session.execute(statement)]


class PublicKeyRow(NamedTuple):
    public_key: dict[str, str]


PUBLIC_KEYS = Direct(
    select(ReceiptKey.public_key).order_by(ReceiptKey.created_at, ReceiptKey.kid), PublicKeyRow
)


async def list_public_keys(session: AsyncSession) -> list[dict[str, str]]:
    """The public keys (JWK) that sign or have signed receipts, oldest first."""
    return [row.public_key for row in await PUBLIC_KEYS.fetch(session)]


async def advisory_lock(session: AsyncSession, name: str) -> None:
    """Wait for everybody else who holds the lock of this name; it ends with the transaction."""
    statement = select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0)))
    _ = await session.execute(statement)


async def lock_stream(session: AsyncSession, peer_code: str, *, resource: str) -> None:
    """One transaction at a time for a peer and resource.

    Chunks of batches keep their order, and a repeated batch finds the first one.
    """
    await advisory_lock(session, f"{peer_code}/{resource}")
