"""Which events a peer may see: one rule for pull and webhook. What is not granted is refused."""

from dataclasses import dataclass

from services.exchange.events.model.subscription import Subscription
from services.exchange.peers.model import Peer


@dataclass(frozen=True, slots=True)
class Scope:
    """What goes to a subscription: these types in these areas.

    Empty `departments` or `matters` mean all of them; empty `types` or `areas` mean nothing.
    """

    types: tuple[str, ...] = ()
    areas: tuple[str, ...] = ()
    departments: tuple[str, ...] = ()
    matters: tuple[str, ...] = ()

    def covers(self, type: str, *, area: str, department: str, matter: str | None) -> bool:
        if type not in self.types or area not in self.areas:
            return False
        if self.departments and department not in self.departments:
            return False
        return not self.matters or matter in self.matters


def scope_of(peer: Peer, subscription: Subscription) -> Scope:
    """What the subscription asks for, as far as the peer may see it now.

    Nothing for a peer that is not active.
    """
    if not peer.active or subscription.peer_id != peer.id:
        return Scope()
    # Rights are intersected anew each time, so that a right taken away counts at once.
    wanted = subscription.area_codes or peer.areas
    return Scope(
        types=tuple(sorted(set(subscription.event_types) & set(peer.event_types))),
        areas=tuple(sorted(set(wanted) & set(peer.areas))),
        departments=tuple(subscription.department_codes),
        matters=tuple(subscription.matter_codes),
    )
