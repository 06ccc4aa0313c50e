"""Tables of exchange and their rules."""

from services.exchange.model.base import Base
from services.exchange.model.peer import Peer

__all__ = ["Base", "Peer"]
