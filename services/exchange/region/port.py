"""What the service asks of the regional platform, whatever the way it is spoken to (`services.exchange.region.http_client`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

RESOURCES = ("cases", "ratings")
"""What the ledger owes the region."""


class RegionAwayError(Exception):
    """It did not answer, or not with what was agreed: to be tried again later."""


class PushForgottenError(Exception):
    """The region acknowledged this push and no longer knows it: it was started anew, or restored."""


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that the quality check has moved to a reject table (`up_pro_*_unqbak`)."""

    key: str
    version: int
    code: str


class Region(Protocol):
    """One regional platform."""

    traffic: int
    """Bytes sent and received so far."""

    async def last_acknowledged(self, resource: str) -> int:
        """Number of the last push of which the region has all before it."""
        ...

    async def send(self, body: bytes) -> None:
        """Hand over a push; returns when the region has acknowledged it."""
        ...

    async def rejects(self, resource: str, push_id: UUID) -> Sequence[Reject] | None:
        """What the quality check refused of a push; None while it has not finished. May raise `PushForgottenError`."""
        ...

    async def ask(self, run_id: UUID, question: str, body: dict[str, Any]) -> Any:
        """A question of recon/1: `cut`, `sums`, `leaves`, `list`."""
        ...

    async def countersign(self, run_id: UUID, statement: bytes) -> bytes:
        """The region's own signature on the statement (对账单), compact JWS."""
        ...
