"""Commands and answers of reconciliations."""

from datetime import date, datetime
from typing import Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

MAX_DAYS = 366


class StartReconciliation(BaseModel):
    """Compare these windows (business days, both included) of a resource with what the regional platform holds."""

    model_config = ConfigDict(extra="forbid")

    resource: Literal["cases", "ratings"]
    first_day: date
    last_day: date
    listed: bool = Field(
        default=False,
        description="Compare the list digests too, which read every row: proof beyond sums",
    )

    @model_validator(mode="after")
    def _days_in_order(self) -> Self:
        if not 0 <= (self.last_day - self.first_day).days < MAX_DAYS:
            raise ValueError(f"the days must be in order, and at most {MAX_DAYS}")
        return self


class ReconciliationRead(BaseModel):
    """A reconciliation and how far it has come. `progress` holds the fingerprints of both sides and the counts."""

    id: UUID
    peer_code: str
    resource: str
    first_day: date
    last_day: date
    only_windows: bool
    listed: bool
    state: Literal[
        "queued",
        "needs_approval",
        "repairing",
        "waiting",
        "closing",
        "signing",
        "finished",
        "failed",
    ]
    requested_by: str
    approved_by: str | None
    equal: bool | None
    failure: str | None
    progress: dict[str, Any]
    created_at: datetime
    finished_at: datetime | None


class DifferenceRead(BaseModel):
    """A key that differs, and what became of it."""

    key: str
    day: date
    kind: Literal[
        "MISSING_AT_PEER", "EXTRA_AT_PEER", "PEER_OLDER", "PEER_NEWER", "SAME_VERSION_DIFFERENT"
    ]
    cause: str
    our_version: int | None
    peer_version: int | None
    remedy: Literal["resend", "ticket", "work_item"]
    owner: str
    due_on: date
    state: Literal["found", "done"]
    residual: bool


class StatementRead(BaseModel):
    """对账单: the statement signed by the platform and by the peer, each compact JWS, as they were signed."""

    ours: str
    peer: str
