"""对账: one comparison of the ledger with what the peer holds, its differences, and what became of each."""

from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

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
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.exchange.model_base import Base
from shared.events.exchange import ReconciliationFinished


class Difference(StrEnum):
    """In what a key differs (recon/1, step 6)."""

    MISSING_AT_PEER = "MISSING_AT_PEER"
    EXTRA_AT_PEER = "EXTRA_AT_PEER"
    PEER_OLDER = "PEER_OLDER"
    PEER_NEWER = "PEER_NEWER"
    SAME_VERSION_DIFFERENT = "SAME_VERSION_DIFFERENT"


class Reconciliation(Base):
    """State: queued → (needs_approval →) repairing → waiting → closing → signing → finished, or failed.

    `only_windows`: no more than the fingerprints of the days is compared (every quarter of an hour). `listed`: the list
    digests too (every week). Each step is a transaction of its own and can be taken again after a crash.
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
    resource: Mapped[str] = mapped_column(Text)
    first_day: Mapped[date] = mapped_column(Date)
    last_day: Mapped[date] = mapped_column(Date)
    only_windows: Mapped[bool] = mapped_column(Boolean)
    listed: Mapped[bool] = mapped_column(Boolean)
    state: Mapped[str] = mapped_column(Text)
    requested_by: Mapped[str] = mapped_column(Text)
    approved_by: Mapped[str | None] = mapped_column(Text)
    cut: Mapped[int | None] = mapped_column(BigInteger)
    progress: Mapped[dict[str, Any]] = mapped_column(JSONB)
    equal: Mapped[bool | None] = mapped_column(Boolean)
    statement: Mapped[bytes | None] = mapped_column(LargeBinary)
    peer_statement: Mapped[bytes | None] = mapped_column(LargeBinary)
    failure: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    next_step_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    def finish(
        self,
        *,
        equal: bool,
        differences: dict[str, int],
        repaired: int,
        residual: int,
        now: datetime,
    ) -> ReconciliationFinished:
        """It is over: both sides are equal, or every difference left has cause, owner and day."""
        self.state, self.equal, self.finished_at = "finished", equal, now
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
    """One key that differs. `remedy`: resend, ticket (to the owner) or work_item (the bureau must correct the record).

    State: found → done (sent again, handed over, or settled by itself) ; `residual` tells whether it still differs at the end.
    """

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
    kind: Mapped[str] = mapped_column(Text)
    cause: Mapped[str] = mapped_column(Text)
    our_version: Mapped[int | None] = mapped_column(BigInteger)
    peer_version: Mapped[int | None] = mapped_column(BigInteger)
    remedy: Mapped[str] = mapped_column(Text)
    owner: Mapped[str] = mapped_column(Text)
    due_on: Mapped[date] = mapped_column(Date)
    state: Mapped[str] = mapped_column(Text)
    residual: Mapped[bool] = mapped_column(Boolean)
