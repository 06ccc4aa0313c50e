"""Peers: who may exchange what, and the keys that they sign with."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, TypedDict
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.peers import queries
from services.exchange.peers.model import Peer, PeerKind
from services.exchange.peers.port import PeerEvents
from services.exchange.peers.schemas import ChangePeer, NewKey, NewPeer
from shared.database import audit
from shared.database.acts import Act
from shared.errors import ConflictError, FieldError, InvalidInputError
from shared.events.exchange import Resource
from shared.http.etags import check_version
from shared.ids import new_id


class Rights(TypedDict):
    """The rights of a peer, as its audit rows show them."""

    event_types: list[str]
    resources: list[Resource]
    area_codes: list[str]
    networks: list[str]


async def create_peer(
    session: AsyncSession, command: NewPeer, *, events: PeerEvents, now: datetime
) -> Peer:
    """Register a system with the rights that the command names.

    Raises `InvalidInputError` for unknown event types, `ConflictError` when the code or the account
    belongs to another peer.
    """
    _check_event_types(command, events.known_types())
    await _check_unique(session, command.code, account_id=command.account_id, peer_id=None)
    peer = Peer(id=new_id(), code=command.code, keys=[], revision=1, created_at=now)
    _apply(command, peer)
    session.add(peer)
    _record(session, "peer.create", peer=peer, code=peer.code, **_rights(peer))
    return peer


async def change_peer(
    act: Act[datetime], peer_id: UUID, *, command: ChangePeer, events: PeerEvents
) -> Peer:
    """Replace what the peer is and may do.

    What it may no longer see is not sent from this moment on, and what waited is cancelled.
    Raises as `create_peer` does, and `PreconditionFailedError` for an older version.
    """
    peer = await _lock_peer(act, peer_id)
    _check_event_types(command, events.known_types())
    await _check_unique(act.session, peer.code, account_id=command.account_id, peer_id=peer.id)
    _apply(command, peer)
    peer.revision += 1
    # The peer is written before its subscriptions are locked: everybody locks in this order.
    await act.session.flush()
    cancelled = await events.cancel_forbidden(act.session, peer)
    _record(
        act.session,
        "peer.change",
        peer=peer,
        cancelled=cancelled,
        active=peer.active,
        **_rights(peer),
    )
    return peer


async def add_key(act: Act[datetime], peer_id: UUID, *, command: NewKey) -> Peer:
    peer = await _lock_peer(act, peer_id)
    peer.add_key(command.kid, x=command.x, now=act.at)
    _record(act.session, "peer.add-key", peer=peer, kid=command.kid)
    return peer


async def retire_key(act: Act[datetime], peer_id: UUID, *, kid: str) -> Peer:
    peer = await _lock_peer(act, peer_id)
    peer.retire_key(kid, now=act.at)
    _record(act.session, "peer.retire-key", peer=peer, kid=kid)
    return peer


async def _lock_peer(act: Act[datetime], peer_id: UUID) -> Peer:
    peer = await queries.get_peer(act.session, peer_id, lock=True)
    check_version(peer.revision, expected=act.expected)
    return peer


def _record(session: AsyncSession, action: str, *, peer: Peer, **detail: Any) -> None:
    """The only writer of audit rows about peers; `detail` is JSON, as `audit.record` takes it."""
    audit.record(session, action, object_type="peer", object_id=peer.id, **detail)


def _rights(peer: Peer) -> Rights:
    return Rights(
        event_types=peer.event_types,
        resources=peer.resources,
        area_codes=peer.area_codes,
        networks=peer.networks,
    )


def _apply(command: ChangePeer, peer: Peer) -> None:
    peer.name = command.name
    peer.kind = PeerKind(command.kind)
    peer.account_id = command.account_id
    peer.area_code = command.area_code
    peer.department_code = command.department_code
    peer.event_types = command.event_types
    peer.resources = command.resources
    peer.area_codes = command.area_codes
    peer.networks = command.networks
    peer.active = command.active


def _check_event_types(command: ChangePeer, known: Collection[str]) -> None:
    faults: list[FieldError] = []
    for place, name in enumerate(command.event_types):
        if name in known:
            continue
        faults.append(
            FieldError(
                f"event_types[{place}]",
                "exists",
                message="no event of this type leaves the platform; see /exchange/schemas",
            )
        )
    if faults:
        raise InvalidInputError("the peer cannot be kept so", faults)


async def _check_unique(
    session: AsyncSession, code: str, *, account_id: UUID | None, peer_id: UUID | None
) -> None:
    other = await queries.find_other(session, code, account_id=account_id, peer_id=peer_id)
    if other is None:
        return
    if other.code == code:
        raise ConflictError("the code belongs to another peer")
    raise ConflictError("the account belongs to another peer")
