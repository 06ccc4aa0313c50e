"""Every SELECT about peers."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.peers.model import Peer, RecordCount
from shared.errors import NotFoundError


async def get_peer(session: AsyncSession, peer_id: UUID, *, lock: bool = False) -> Peer:
    peer = await session.get(Peer, peer_id, with_for_update=lock)
    if peer is None:
        raise NotFoundError("no such peer")
    return peer


async def find_peer_of(session: AsyncSession, account_id: UUID) -> Peer | None:
    """The peer whose system this account is."""
    return await session.scalar(select(Peer).where(Peer.account_id == account_id))


async def find_other(
    session: AsyncSession, code: str, account_id: UUID | None, peer_id: UUID | None
) -> Peer | None:
    """Another peer that has this code or this account already."""
    same = (
        Peer.code == code
        if account_id is None
        else (Peer.code == code) | (Peer.account_id == account_id)
    )
    statement = select(Peer).where(same)
    if peer_id is not None:
        statement = statement.where(Peer.id != peer_id)
    return await session.scalar(statement.limit(1))


async def list_peers(session: AsyncSession, after: UUID, limit: int) -> Sequence[Peer]:
    return (
        await session.scalars(
            select(Peer).where(Peer.id > after).order_by(Peer.id).limit(limit + 1)
        )
    ).all()


async def list_counts(session: AsyncSession, peer_code: str | None) -> Sequence[RecordCount]:
    """All running figures, of one peer or of all."""
    statement = select(RecordCount).order_by(
        RecordCount.peer_code, RecordCount.resource, RecordCount.measure
    )
    if peer_code is not None:
        statement = statement.where(RecordCount.peer_code == peer_code)
    return (await session.scalars(statement)).all()
