"""Reconciliations (对账): comparisons of the ledger with what the peer holds.

Each keeps the differences that it found.
"""

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from pydantic import ConfigDict, Field
from sqlalchemy import (
    BigInteger,
    Boolean,
    Date,
    DateTime,
    ForeignKey,
    Index,
    LargeBinary,
    Text,
    Uuid,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from services.exchange.model_base import Base
from services.exchange.region.model.ledger import LedgerResource
from shared.database.columns import StoredModel, enum_column, is_none, json_column
from shared.events.exchange import ReconciliationFinished

FingerprintList = list[int | str]
"""Count and two sums, as `shared.domain.recon.Fingerprint.as_list` has them."""


class Difference(StrEnum):
    """In what a key differs (recon/1, step 6)."""

    MISSING_AT_PEER = "MISSING_AT_PEER"
    EXTRA_AT_PEER = "EXTRA_AT_PEER"
    PEER_OLDER = "PEER_OLDER"
    PEER_NEWER = "PEER_NEWER"
    SAME_VERSION_DIFFERENT = "SAME_VERSION_DIFFERENT"


class Remedy(StrEnum):
    RESEND = "resend"
    TICKET = "ticket"  # the owner has to clear it up
    WORK_ITEM = "work_item"  # the bureau has to correct the record


class DifferenceState(StrEnum):
    FOUND = "found"
    DONE = "done"  # sent again, handed over, or no longer true


class RunState(StrEnum):
    """The steps of a reconciliation, in their order; `NEEDS_APPROVAL` only where it is needed."""

    QUEUED = "queued"
    NEEDS_APPROVAL = "needs_approval"
    REPAIRING = "repairing"
    WAITING = "waiting"
    CLOSING = "closing"
    SIGNING = "signing"
    FINISHED = "finished"
    FAILED = "failed"


class ListDigests(StoredModel):
    """Digests (hex) of all records on both sides."""

    ours: str
    peer: str


class Totals(StoredModel):
    """Fingerprints of both sides over all windows, and their list digests where asked for."""

    list: ListDigests | None = Field(default=None, exclude_if=is_none)
    ours: FingerprintList
    peer: FingerprintList


class Progress(StoredModel):
    """How far a reconciliation has come; a member is absent until its step has been taken.

    `open` counts the keys that were under way, `rounds` the questions to the other side,
    `differences` those found by class. `wait_until` is an ISO 8601 moment, the days are ISO dates.
    """

    # Changed on copies, see `Reconciliation.copy_progress`.
    model_config = ConfigDict(frozen=False)

    # In the order in which PostgreSQL returns members of JSONB (by length, then by name), so that
    # answers show a row that was just made and one that was read in the same order.
    open: int | None = Field(default=None, exclude_if=is_none)
    after: Totals | None = Field(default=None, exclude_if=is_none)
    before: Totals | None = Field(default=None, exclude_if=is_none)
    rounds: int | None = Field(default=None, exclude_if=is_none)
    failures: int | None = Field(default=None, exclude_if=is_none)
    repaired: int | None = Field(default=None, exclude_if=is_none)
    residual: int | None = Field(default=None, exclude_if=is_none)
    wait_until: str | None = Field(default=None, exclude_if=is_none)
    differences: dict[str, int] | None = Field(default=None, exclude_if=is_none)
    push_windows: list[str] | None = Field(default=None, exclude_if=is_none)
    unequal_days: list[str] | None = Field(default=None, exclude_if=is_none)


class Cause(StrEnum):
    """Why a key differs, as far as the two sides show it."""

    IN_FLIGHT = "in_flight"
    DUPLICATE = "duplicate"
    FOREIGN_WRITE = "foreign_write"
    LOSSY_MAPPING = "lossy_mapping"
    LOST_IN_TRANSPORT = "lost_in_transport"
    DELETED_AT_SOURCE = "deleted_at_source"
    REJECTED = "rejected"
    """Always with the code of the region: `rejected(<code>)`."""


class Reconciliation(Base):
    """One run. Each step is a transaction of its own and can be taken again after a crash.

    `only_windows`: no more than the fingerprints of the days is compared (every quarter of an
    hour). `listed`: the list digests too (every week). `cut` is the highest `last_seq` of the
    ledger that the comparison has seen.
    """

    __tablename__ = "reconciliation"
    __table_args__ = (
        Index(
            "ix_reconciliation_open",
            "id",
            postgresql_where=text("state NOT IN ('finished', 'failed')"),
        ),
        Index("ix_reconciliation_resource", "resource", "only_windows", "created_at"),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    peer_code: Mapped[str] = mapped_column(Text)
    resource: Mapped[LedgerResource] = mapped_column(Text)
    first_day: Mapped[date] = mapped_column(Date)
    last_day: Mapped[date] = mapped_column(Date)
    only_windows: Mapped[bool] = mapped_column(Boolean)
    listed: Mapped[bool] = mapped_column(Boolean)
    state: Mapped[RunState] = enum_column(RunState)
    requested_by: Mapped[str] = mapped_column(Text)
    approved_by: Mapped[str | None] = mapped_column(Text)
    cut: Mapped[int | None] = mapped_column(BigInteger)
    progress: Mapped[Progress] = json_column(Progress)
    equal: Mapped[bool | None] = mapped_column(Boolean)
    statement: Mapped[bytes | None] = mapped_column(LargeBinary)
    peer_statement: Mapped[bytes | None] = mapped_column(LargeBinary)
    failure: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    next_step_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    def copy_progress(self) -> Progress:
        """A copy to change and assign: the column does not notice a change in place."""
        return self.progress.model_copy()

    def go_on(self, state: RunState, *, now: datetime) -> None:
        """The next step is due at once."""
        self.state = state
        self.next_step_at = now

    def finish(
        self,
        *,
        equal: bool,
        differences: dict[str, int],
        repaired: int,
        residual: int,
        now: datetime,
    ) -> ReconciliationFinished:
        """Both sides are equal, or every difference left has cause, owner and day."""
        self.state = RunState.FINISHED
        self.equal = equal
        self.finished_at = now
        return ReconciliationFinished(
            run_id=self.id,
            peer_code=self.peer_code,
            resource=self.resource,
            equal=equal,
            differences=differences,
            repaired=repaired,
            residual=residual,
            revision=1,
            occurred_at=now,
        )


class ReconciliationDifference(Base):
    """One key that differs; `residual` says whether it still differs at the end."""

    __tablename__ = "reconciliation_difference"
    __table_args__ = (
        Index(
            "ix_reconciliation_difference_found",
            "run_id",
            "key",
            postgresql_where=text("state = 'found'"),
        ),
    )

    run_id: Mapped[UUID] = mapped_column(Uuid, ForeignKey("reconciliation.id"), primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    day: Mapped[date] = mapped_column(Date)
    kind: Mapped[Difference] = enum_column(Difference)
    cause: Mapped[str] = mapped_column(Text)
    our_version: Mapped[int | None] = mapped_column(BigInteger)
    peer_version: Mapped[int | None] = mapped_column(BigInteger)
    remedy: Mapped[Remedy] = enum_column(Remedy)
    owner: Mapped[str] = mapped_column(Text)
    due_on: Mapped[date] = mapped_column(Date)
    state: Mapped[DifferenceState] = enum_column(DifferenceState)
    residual: Mapped[bool] = mapped_column(Boolean)
