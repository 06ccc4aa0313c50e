"""The ledger (台账): what the platform owes the regional platform, and the pushes that carry it."""

from datetime import date, datetime
from enum import StrEnum
from typing import Literal
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Date,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    Sequence,
    SmallInteger,
    Text,
    Uuid,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from services.exchange.model_base import Base
from shared.database.columns import enum_column

LedgerResource = Literal["cases", "ratings"]
"""What the region gets; a part of `shared.events.exchange.Resource`, and typed as that is."""

LEDGER_SEQUENCE = Sequence("ledger_seq", metadata=Base.metadata)
"""A row changed after the cut of a reconciliation has a higher `last_seq` than the cut."""
WAITING = text("push_state = 'waiting'")
IN_FLIGHT = text("push_state IN ('waiting', 'sent')")


class Operation(StrEnum):
    """cd_operation of the region's tables."""

    INSERT = "I"
    UPDATE = "U"
    DELETE = "D"  # the row stays as a tombstone


class RowState(StrEnum):
    """How far the newest version of a row is on its way to the region."""

    WAITING = "waiting"
    SENT = "sent"
    ACCEPTED = "accepted"
    REJECTED = "rejected"  # by the region's quality check, with `reject_code`


class PushState(StrEnum):
    SENT = "sent"
    ACKNOWLEDGED = "acknowledged"  # the region has its bytes
    SETTLED = "settled"  # the region's quality check has spoken


class LedgerRow(Base):
    """One key of a resource: its newest version, with the digests that reconciliations compare.

    `record` is in canonical form, `rd`, `loose`, `b1`, `b2`, `d1` and `d2` are those of
    `shared.domain.recon`. `day` is the window, a business day that never changes. `sent_seq` is the
    `last_seq` that the push carries, so that a row changed meanwhile goes out again.
    """

    __tablename__ = "ledger"
    __table_args__ = (
        # Fingerprints of every level come from the index without touching the table.
        Index("ix_ledger_window", "resource", "day", "b1", "b2", postgresql_include=["d1", "d2"]),
        Index("ix_ledger_waiting", "resource", "last_seq", postgresql_where=WAITING),
        Index("ix_ledger_in_flight", "resource", "day", postgresql_where=IN_FLIGHT),
        Index("ix_ledger_push_id", "push_id", postgresql_where=text("push_id IS NOT NULL")),
    )

    resource: Mapped[LedgerResource] = mapped_column(Text, primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger)
    op: Mapped[Operation] = enum_column(Operation)
    day: Mapped[date] = mapped_column(Date)
    area_code: Mapped[str] = mapped_column(Text)
    department_code: Mapped[str] = mapped_column(Text)
    record: Mapped[str] = mapped_column(Text)
    rd: Mapped[bytes] = mapped_column(LargeBinary)
    loose: Mapped[bytes] = mapped_column(LargeBinary)
    b1: Mapped[int] = mapped_column(SmallInteger)
    b2: Mapped[int] = mapped_column(SmallInteger)
    d1: Mapped[int] = mapped_column(BigInteger)
    d2: Mapped[int] = mapped_column(BigInteger)
    last_seq: Mapped[int] = mapped_column(BigInteger)
    sent_seq: Mapped[int] = mapped_column(BigInteger, server_default="0")
    push_state: Mapped[RowState] = enum_column(RowState, server_default="waiting")
    push_id: Mapped[UUID | None] = mapped_column(Uuid)
    reject_code: Mapped[str | None] = mapped_column(Text)
    changed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class Push(Base):
    """A push (数据推送): at most 1,000 rows in the region's table form.

    Pushes of a resource are numbered without gaps. `body` is kept until it is acknowledged, so that
    a repeat sends the same bytes; each body holds the `digest` of the push before.
    """

    __tablename__ = "push"
    __table_args__ = (
        Index("uq_push_resource_number", "resource", "number", unique=True),
        Index("ix_push_open", "resource", "number", postgresql_where=text("state <> 'settled'")),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    resource: Mapped[LedgerResource] = mapped_column(Text)
    number: Mapped[int] = mapped_column(BigInteger)
    rows: Mapped[int] = mapped_column(Integer)
    state: Mapped[PushState] = enum_column(PushState)
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    next_attempt_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    settled_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    rejected: Mapped[int] = mapped_column(Integer, server_default="0")
