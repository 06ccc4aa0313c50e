"""What peers need of events.

`events` builds on `peers` and not the other way round, so `main` hands over the implementation.
"""

from collections.abc import Collection
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.peers.model import Peer


class PeerEvents(Protocol):
    """The events that leave the platform, as far as the rights of peers are concerned."""

    def known_types(self) -> Collection[str]:
        """Names of all external event types."""
        ...

    async def cancel_forbidden(self, session: AsyncSession, peer: Peer) -> int:
        """Cancel waiting deliveries of what the peer may no longer see; the number cancelled."""
        ...
