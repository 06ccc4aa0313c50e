"""What the service asks of the regional platform, whatever the transport."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol
from uuid import UUID

from services.exchange.region.model.ledger import LedgerResource

RESOURCES: tuple[LedgerResource, ...] = ("cases", "ratings")
"""What the ledger owes the region."""
Question = Literal["cut", "sums", "leaves", "list"]
"""A question of recon/1."""


class RegionAwayError(Exception):
    """It did not answer, or not with what was agreed: to be tried again later."""


class PushForgottenError(Exception):
    """The region acknowledged this push and no longer knows it: it was set up anew, or restored."""


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that the quality check has moved to a reject table (`up_pro_*_unqbak`)."""

    key: str
    version: int
    code: str


class Region(Protocol):
    """One regional platform. Every method may raise `RegionAwayError`."""

    traffic: int
    """Bytes sent and received so far."""

    async def last_acknowledged(self, resource: LedgerResource) -> int:
        """Number of the last push of which the region has all before it."""
        ...

    async def send(self, body: bytes) -> None:
        """Hand over a push; returns when the region has acknowledged it."""
        ...

    async def rejects(self, resource: LedgerResource, push_id: UUID) -> Sequence[Reject] | None:
        """What the quality check refused of a push; None while it has not finished.

        Raises `PushForgottenError`.
        """
        ...

    async def ask(self, run_id: UUID, question: Question, *, body: Mapping[str, object]) -> object:
        """The answer to a question of recon/1, as JSON that the caller has to judge."""
        ...

    async def countersign(self, run_id: UUID, statement: bytes) -> bytes:
        """The region's own signature on the statement (对账单), compact JWS."""
        ...
