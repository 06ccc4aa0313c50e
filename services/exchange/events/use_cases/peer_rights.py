"""What changes of peers mean for events: the implementation of `peers.port.PeerEvents`."""

from collections.abc import Collection

from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.events.model.external import types_of
from services.exchange.events.use_cases.deliveries import cancel_forbidden
from services.exchange.peers.model import Peer


class EventRights:
    """`city_name` is part of the names of external types."""

    def __init__(self, city_name: str) -> None:
        self._known = types_of(city_name).keys()

    def known_types(self) -> Collection[str]:
        return self._known

    async def cancel_forbidden(self, session: AsyncSession, peer: Peer) -> int:
        return await cancel_forbidden(session, peer)
