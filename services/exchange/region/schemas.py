"""Commands and answers of reconciliations."""

from datetime import date, datetime
from typing import Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.exchange.region.model.ledger import LedgerResource
from services.exchange.region.model.reconciliation import (
    Difference,
    DifferenceState,
    Progress,
    Remedy,
    RunState,
)
from shared.errors import InvalidValueError

MAX_DAYS = 366


class StartReconciliation(BaseModel):
    """Compare a resource with what the regional platform holds.

    The days are business days (windows), both included.
    """

    model_config = ConfigDict(extra="forbid")

    resource: LedgerResource
    first_day: date
    last_day: date
    listed: bool = Field(
        default=False,
        description="Compare the list digests too, which read every row: proof beyond sums",
    )

    @model_validator(mode="after")
    def _days_in_order(self) -> Self:
        if not 0 <= (self.last_day - self.first_day).days < MAX_DAYS:
            raise InvalidValueError(
                "the days must be in order, and at most {limit}", limit=MAX_DAYS
            )
        return self


class ReconciliationRead(BaseModel):
    """A reconciliation and how far it has come.

    `progress` holds the fingerprints of both sides and the counts.
    """

    id: UUID
    peer_code: str
    resource: LedgerResource
    first_day: date
    last_day: date
    only_windows: bool
    listed: bool
    state: RunState
    requested_by: str
    approved_by: str | None
    equal: bool | None
    failure: str | None
    progress: Progress
    created_at: datetime
    finished_at: datetime | None


class DifferenceRead(BaseModel):
    """A key that differs, and what became of it."""

    key: str
    day: date
    kind: Difference
    cause: str
    our_version: int | None
    peer_version: int | None
    remedy: Remedy
    owner: str
    due_on: date
    state: DifferenceState
    residual: bool


class StatementRead(BaseModel):
    """对账单: the statement as the platform and the peer signed it, each compact JWS."""

    ours: str
    peer: str
