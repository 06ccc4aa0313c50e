"""Peers: who may exchange what, and the keys by which they are known."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.events.use_cases.deliveries import cancel_forbidden
from services.exchange.peers import queries
from services.exchange.peers.model import Peer
from services.exchange.peers.schemas import ChangePeer, NewKey, NewPeer
from shared.database import audit
from shared.errors import ConflictError, FieldError, InvalidInputError
from shared.http.etags import check_version


async def create_peer(
    session: AsyncSession, command: NewPeer, known: Sequence[str], now: datetime
) -> Peer:
    _check_types(command, known)
    await _check_single(session, command.code, command.account_id, None)
    peer = Peer.new(command.code, command.model_dump(exclude={"code"}), now)
    session.add(peer)
    audit.record(session, "peer.create", "peer", peer.id, code=peer.code, **_rights(peer))
    return peer


async def change_peer(
    session: AsyncSession, peer_id: UUID, command: ChangePeer, expected: int, known: Sequence[str]
) -> Peer:
    """What it may no longer see is not sent from this moment on, and what waited for it is cancelled."""
    peer = await queries.get_peer(session, peer_id, lock=True)
    check_version(peer.revision, expected)
    _check_types(command, known)
    await _check_single(session, peer.code, command.account_id, peer.id)
    peer.change(command.model_dump())
    await session.flush()
    cancelled = await cancel_forbidden(session, peer)
    audit.record(
        session,
        "peer.change",
        "peer",
        peer.id,
        cancelled=cancelled,
        active=peer.active,
        **_rights(peer),
    )
    return peer


async def add_key(
    session: AsyncSession, peer_id: UUID, command: NewKey, expected: int, now: datetime
) -> Peer:
    peer = await queries.get_peer(session, peer_id, lock=True)
    check_version(peer.revision, expected)
    peer.add_key(command.kid, command.x, now)
    audit.record(session, "peer.add-key", "peer", peer.id, kid=command.kid)
    return peer


async def retire_key(
    session: AsyncSession, peer_id: UUID, kid: str, expected: int, now: datetime
) -> Peer:
    peer = await queries.get_peer(session, peer_id, lock=True)
    check_version(peer.revision, expected)
    peer.retire_key(kid, now)
    audit.record(session, "peer.retire-key", "peer", peer.id, kid=kid)
    return peer


def _rights(peer: Peer) -> dict[str, Any]:
    return {
        name: getattr(peer, name) for name in ("event_types", "resources", "area_codes", "networks")
    }


def _check_types(command: ChangePeer, known: Sequence[str]) -> None:
    faults = [
        FieldError(
            f"event_types[{place}]",
            "exists",
            "no event of this type leaves the platform; see /exchange/schemas",
        )
        for place, name in enumerate(command.event_types)
        if name not in known
    ]
    if faults:
        raise InvalidInputError("the peer cannot be kept so", faults)


async def _check_single(
    session: AsyncSession, code: str, account_id: UUID | None, peer_id: UUID | None
) -> None:
    other = await queries.find_other(session, code, account_id, peer_id)
    if other is not None:
        taken = "code" if other.code == code else "account"
        raise ConflictError(f"the {taken} belongs to another peer")
