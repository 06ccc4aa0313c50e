"""Signed batches of records from a peer (批次), their chunks, and the records that came back."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import TypedDict
from uuid import UUID

from sqlalchemy import DateTime, ForeignKey, Index, Integer, LargeBinary, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.exchange.model_base import Base
from shared.database.columns import enum_column
from shared.events.exchange import BatchFinished, Resource

UNFINISHED = text("state <> 'finished'")


class BatchState(StrEnum):
    RECEIVED = "received"
    JUDGING = "judging"  # some chunks have their verdicts
    FINISHED = "finished"


class BatchFacts(TypedDict):
    """What every event about a batch says."""

    batch_id: UUID
    peer_code: str
    area_code: str
    department_code: str
    resource: Resource
    revision: int
    occurred_at: datetime


class StoredFault(TypedDict):
    """A fault of a record as it is stored, and as the second receipt shows it.

    A dictionary and not a model: a batch may have 50,000 of them.
    """

    field: str
    rule: str
    message: str


class Batch(Base):
    """`number` is the peer's own id of the batch, unique with the peer.

    `receipt` (stage 1, 收讫) and `final_receipt` (stage 2, 处理结果) are the exact bytes that were
    signed.
    """

    __tablename__ = "batch"
    __table_args__ = (
        Index("uq_batch_peer_id_number", "peer_id", "number", unique=True),
        Index("ix_batch_peer_id", "peer_id", "id"),
        Index(
            "ix_batch_unfinished",
            "peer_code",
            "resource",
            "received_at",
            postgresql_where=UNFINISHED,
        ),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    peer_id: Mapped[UUID] = mapped_column(Uuid)
    peer_code: Mapped[str] = mapped_column(Text)
    number: Mapped[str] = mapped_column(Text)
    resource: Mapped[Resource] = mapped_column(Text)
    area_code: Mapped[str] = mapped_column(Text)
    department_code: Mapped[str] = mapped_column(Text)
    key_id: Mapped[str] = mapped_column(Text)
    signature: Mapped[bytes] = mapped_column(LargeBinary)
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    created: Mapped[str] = mapped_column(Text)
    records: Mapped[int] = mapped_column(Integer)
    chunks: Mapped[int] = mapped_column(Integer)
    chunks_judged: Mapped[int] = mapped_column(Integer)
    accepted: Mapped[int] = mapped_column(Integer)
    unchanged: Mapped[int] = mapped_column(Integer)
    rejected: Mapped[int] = mapped_column(Integer)
    state: Mapped[BatchState] = enum_column(BatchState)
    receipt: Mapped[bytes] = mapped_column(LargeBinary)
    final_receipt: Mapped[bytes | None] = mapped_column(LargeBinary)
    received_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    def facts(self, now: datetime, *, revision: int = 2) -> BatchFacts:
        """For the constructors of events about this batch."""
        return BatchFacts(
            batch_id=self.id,
            peer_code=self.peer_code,
            area_code=self.area_code,
            department_code=self.department_code,
            resource=self.resource,
            revision=revision,
            occurred_at=now,
        )

    def add_verdicts(self, statuses: Mapping[str, int]) -> None:
        """Add the verdicts on one chunk, by status."""
        self.chunks_judged += 1
        self.state = BatchState.JUDGING
        self.accepted += statuses.get("accepted", 0)
        self.unchanged += statuses.get("unchanged", 0)
        self.rejected += statuses.get("rejected", 0)

    def finish(self, now: datetime) -> BatchFinished:
        """Every record has its verdict."""
        self.state = BatchState.FINISHED
        self.finished_at = now
        return BatchFinished(
            accepted=self.accepted,
            unchanged=self.unchanged,
            rejected=self.rejected,
            **self.facts(now),
        )


class BatchChunk(Base):
    """Neighbouring rows of a batch that were sent to be judged together."""

    __tablename__ = "batch_chunk"

    batch_id: Mapped[UUID] = mapped_column(Uuid, ForeignKey("batch.id"), primary_key=True)
    chunk: Mapped[int] = mapped_column(Integer, primary_key=True)
    first_row: Mapped[int] = mapped_column(Integer)
    rows: Mapped[int] = mapped_column(Integer)
    judged_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class BatchReject(Base):
    """A record that came back: its row in the batch and every fault, never a value of it.

    `key` is the record's own number, None when it has none that can be read.
    """

    __tablename__ = "batch_reject"

    batch_id: Mapped[UUID] = mapped_column(Uuid, ForeignKey("batch.id"), primary_key=True)
    row: Mapped[int] = mapped_column(Integer, primary_key=True)
    key: Mapped[str | None] = mapped_column(Text)
    faults: Mapped[list[StoredFault]] = mapped_column(JSONB)
