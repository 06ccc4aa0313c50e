"""HTTP in and out of peers."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response

from services.exchange.access import FIRST, Config
from services.exchange.events.model.external import types_of
from services.exchange.peers import queries
from services.exchange.peers.model import Peer
from services.exchange.peers.schemas import ChangePeer, KeyId, NewKey, NewPeer, PeerRead
from services.exchange.peers.use_cases import peers
from shared import clock
from shared.http.dependencies import ReadSession, Session
from shared.http.etags import IfMatch, etag
from shared.http.idempotency import IdempotentRoute, Once
from shared.pagination import Cursor, Limit, Page, decode_cursor, page_of
from shared.security.auth import Administrator

router = APIRouter(route_class=IdempotentRoute)


def _shown(peer: Peer, response: Response) -> Peer:
    response.headers["etag"] = etag(peer.revision)
    return peer


@router.post("/peers", response_model=PeerRead, status_code=201, dependencies=[Once])
async def create_peer(
    command: NewPeer,
    session: Session,
    _administrator: Administrator,
    settings: Config,
    response: Response,
) -> Any:
    """A system with which records and events will be exchanged, and what it may."""
    known = list(types_of(settings.city_name))
    return _shown(await peers.create_peer(session, command, known, clock.now()), response)


@router.get("/peers", response_model=Page[PeerRead])
async def list_peers(
    session: ReadSession, _administrator: Administrator, limit: Limit = 50, cursor: Cursor = None
) -> Any:
    """All peers, page by page."""
    after = decode_cursor(cursor, UUID)[0] if cursor else FIRST
    page, following = page_of(await queries.list_peers(session, after, limit), limit, "id")
    return {"items": page, "next": following}


@router.get("/peers/{peer_id}", response_model=PeerRead)
async def get_peer(
    peer_id: UUID, session: ReadSession, _administrator: Administrator, response: Response
) -> Any:
    """One peer."""
    return _shown(await queries.get_peer(session, peer_id), response)


@router.put("/peers/{peer_id}", response_model=PeerRead)
async def change_peer(
    peer_id: UUID,
    command: ChangePeer,
    session: Session,
    _administrator: Administrator,
    expected: IfMatch,
    settings: Config,
    response: Response,
) -> Any:
    """What it is and may from now on; a right left out is taken, and what waited under it is cancelled."""
    known = list(types_of(settings.city_name))
    return _shown(await peers.change_peer(session, peer_id, command, expected, known), response)


@router.post("/peers/{peer_id}/keys", response_model=PeerRead, status_code=201, dependencies=[Once])
async def add_key(
    peer_id: UUID,
    command: NewKey,
    session: Session,
    _administrator: Administrator,
    expected: IfMatch,
    response: Response,
) -> Any:
    """Pin a further public key; those before it hold on until they are retired."""
    return _shown(await peers.add_key(session, peer_id, command, expected, clock.now()), response)


@router.delete("/peers/{peer_id}/keys/{kid}", response_model=PeerRead)
async def retire_key(
    peer_id: UUID,
    kid: KeyId,
    session: Session,
    _administrator: Administrator,
    expected: IfMatch,
    response: Response,
) -> Any:
    """Retire a public key: nothing new is verified by it; it stays listed."""
    return _shown(await peers.retire_key(session, peer_id, kid, expected, clock.now()), response)
