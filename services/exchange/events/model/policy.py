"""Which events a peer may see: one rule, for pull and webhook alike. Deny by default."""

from dataclasses import dataclass

from services.exchange.events.model.subscription import Subscription
from services.exchange.peers.model import Peer


@dataclass(frozen=True, slots=True)
class Scope:
    """What goes to a subscription: these types in these areas; of departments and matters all when none is named."""

    types: tuple[str, ...] = ()
    areas: tuple[str, ...] = ()
    departments: tuple[str, ...] = ()
    matters: tuple[str, ...] = ()

    def covers(self, type: str, area: str, department: str, matter: str | None) -> bool:
        return (
            type in self.types
            and area in self.areas
            and (not self.departments or department in self.departments)
            and (not self.matters or matter in self.matters)
        )


def scope_of(peer: Peer, subscription: Subscription) -> Scope:
    """What the subscription asks for, as far as the peer is allowed it now; nothing for a peer that is not active."""
    if not peer.active or subscription.peer_id != peer.id:
        return Scope()
    wanted = subscription.area_codes or peer.areas
    return Scope(
        tuple(sorted(set(subscription.event_types) & set(peer.event_types))),
        tuple(sorted(set(wanted) & set(peer.areas))),
        tuple(subscription.department_codes),
        tuple(subscription.matter_codes),
    )
