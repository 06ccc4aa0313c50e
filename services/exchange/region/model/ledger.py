"""台账: what the platform owes the regional platform, one row per key, and the pushes that carry it there."""

from datetime import date, datetime
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

LEDGER_SEQUENCE = Sequence("ledger_seq", metadata=Base.metadata)
"""High-water mark of changes: a row changed after the cut of a reconciliation has a higher `last_seq`."""
WAITING = text("push_state = 'waiting'")
IN_FLIGHT = text("push_state IN ('waiting', 'sent')")


class LedgerRow(Base):
    """One key of a resource: its newest version, `record` in canonical form, and what it weighs (`shared.domain.recon`).

    `day` is the window, an immutable business day. `push_state`: waiting → sent → accepted | rejected (`reject_code`).
    `sent_seq` is the `last_seq` that the push carries, so that a row changed meanwhile goes out again.
    """

    __tablename__ = "ledger"
    __table_args__ = (
        Index(
            "ix_ledger_window", "resource", "day", "b1", "b2", postgresql_include=["d1", "d2"]
        ),  # fingerprints of every level without touching the table
        Index("ix_ledger_waiting", "resource", "last_seq", postgresql_where=WAITING),
        Index("ix_ledger_in_flight", "resource", "day", postgresql_where=IN_FLIGHT),
        Index("ix_ledger_push_id", "push_id", postgresql_where=text("push_id IS NOT NULL")),
    )

    resource: Mapped[str] = mapped_column(Text, primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger)
    op: Mapped[str] = mapped_column(Text)
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
    push_state: Mapped[str] = mapped_column(Text, server_default="waiting")
    push_id: Mapped[UUID | None] = mapped_column(Uuid)
    reject_code: Mapped[str | None] = mapped_column(Text)
    changed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class Push(Base):
    """数据推送: at most 1,000 rows in the table form of the region, numbered without gaps within the resource.

    State: sent → acknowledged (the region has its bytes) → settled (its quality check has spoken). `body` is kept until it is
    acknowledged, so that a repeat sends the same bytes; `digest` chains each push to the one before.
    """

    __tablename__ = "push"
    __table_args__ = (
        Index("uq_push_resource_number", "resource", "number", unique=True),
        Index("ix_push_open", "resource", "number", postgresql_where=text("state <> 'settled'")),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    resource: Mapped[str] = mapped_column(Text)
    number: Mapped[int] = mapped_column(BigInteger)
    rows: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(Text)
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    next_attempt_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    settled_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    rejected: Mapped[int] = mapped_column(Integer, server_default="0")
