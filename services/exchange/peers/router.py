"""HTTP in and out of peers."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from services.exchange.dependencies import AdministratorAct
from services.exchange.peers import queries
from services.exchange.peers.model import Peer
from services.exchange.peers.port import PeerEvents
from services.exchange.peers.schemas import ChangePeer, KeyId, NewKey, NewPeer, PeerRead
from services.exchange.peers.use_cases import peers
from services.exchange.peers.views import read_peer
from shared.http.dependencies import Now, ReadSession, Session
from shared.http.etags import etag
from shared.http.idempotency import IdempotentRoute, Once
from shared.pagination import Cursor, Limit, Page, decode_cursor, page_of
from shared.security.auth import Administrator

router = APIRouter(route_class=IdempotentRoute)


async def _peer_events(request: Request) -> PeerEvents:
    return request.app.state.peer_events


Events = Annotated[PeerEvents, Depends(_peer_events)]


@router.post("/peers", status_code=201, dependencies=[Once])
async def create_peer(
    *,
    command: NewPeer,
    session: Session,
    _administrator: Administrator,
    events: Events,
    now: Now,
    response: Response,
) -> PeerRead:
    """A system with which records and events will be exchanged, and what it may."""
    peer = await peers.create_peer(session, command, events=events, now=now)
    response.headers["etag"] = etag(peer.revision)
    return read_peer(peer)


@router.get("/peers")
async def list_peers(
    session: ReadSession, _administrator: Administrator, limit: Limit = 50, cursor: Cursor = None
) -> Page[PeerRead]:
    """All peers, page by page."""
    after: UUID = queries.FIRST_ID
    if cursor:
        after = decode_cursor(cursor, UUID)[0]
    found = await queries.list_peers(session, after, limit=limit)
    rows: Sequence[Peer]
    rows, next_cursor = page_of(found, limit, "id")
    return Page(items=[read_peer(row) for row in rows], next=next_cursor)


@router.get("/peers/{peer_id}")
async def get_peer(
    peer_id: UUID, session: ReadSession, _administrator: Administrator, response: Response
) -> PeerRead:
    """One peer."""
    peer = await queries.get_peer(session, peer_id)
    response.headers["etag"] = etag(peer.revision)
    return read_peer(peer)


@router.put("/peers/{peer_id}")
async def change_peer(
    peer_id: UUID, command: ChangePeer, act: AdministratorAct, events: Events
) -> PeerRead:
    """What it is and may do from now on.

    A right left out is taken away, and what waited under it is cancelled.
    """
    peer = await peers.change_peer(act, peer_id, command=command, events=events)
    act.headers["etag"] = etag(peer.revision)
    return read_peer(peer)


@router.post("/peers/{peer_id}/keys", status_code=201, dependencies=[Once])
async def add_key(peer_id: UUID, command: NewKey, act: AdministratorAct) -> PeerRead:
    """Register a further public key; those before it stay valid until they are retired."""
    peer = await peers.add_key(act, peer_id, command=command)
    act.headers["etag"] = etag(peer.revision)
    return read_peer(peer)


@router.delete("/peers/{peer_id}/keys/{kid}")
async def retire_key(peer_id: UUID, kid: KeyId, act: AdministratorAct) -> PeerRead:
    """Retire a public key: nothing new is verified by it; it stays listed."""
    peer = await peers.retire_key(act, peer_id, kid=kid)
    act.headers["etag"] = etag(peer.revision)
    return read_peer(peer)
