"""Peers as answers show them."""

from services.exchange.peers.model import Peer
from services.exchange.peers.schemas import KeyRead, PeerRead


def read_peer(peer: Peer) -> PeerRead:
    return PeerRead(
        id=peer.id,
        revision=peer.revision,
        code=peer.code,
        name=peer.name,
        kind=peer.kind,
        account_id=peer.account_id,
        area_code=peer.area_code,
        department_code=peer.department_code,
        keys=[KeyRead.model_validate(key, from_attributes=True) for key in peer.keys],
        event_types=peer.event_types,
        resources=peer.resources,
        area_codes=peer.area_codes,
        networks=peer.networks,
        active=peer.active,
        created_at=peer.created_at,
    )
