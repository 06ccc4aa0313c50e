"""The event log: every externally visible fact once, as the bytes that peers get, without gaps."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Index,
    LargeBinary,
    SmallInteger,
    Text,
    Uuid,
)
from sqlalchemy.orm import Mapped, mapped_column

from services.exchange.model_base import Base


class LogHead(Base):
    """The one row that everybody locks who writes to the log.

    Its lock is held from taking numbers to the commit, so numbers become visible in their order and
    without a gap: whoever has read up to `sequence` has missed nothing, and a cursor is one number.
    One counter serves all sources, so that a peer has one cursor and not one for each source.
    `pruned` is the highest sequence that is no longer kept.
    """

    __tablename__ = "log_head"
    __table_args__ = (CheckConstraint("id = 1", name="single"),)

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    sequence: Mapped[int] = mapped_column(BigInteger)
    pruned: Mapped[int] = mapped_column(BigInteger)


class LoggedEvent(Base):
    """One event. `payload` holds its CloudEvents bytes; the other columns select it."""

    __tablename__ = "logged_event"
    __table_args__ = (
        Index(
            "ix_logged_event_scope",
            "type",
            "area_code",
            "sequence",
            postgresql_include=["department_code", "matter_code"],
        ),
    )

    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    event_id: Mapped[UUID] = mapped_column(Uuid, unique=True)
    type: Mapped[str] = mapped_column(Text)
    key: Mapped[str] = mapped_column(Text)
    area_code: Mapped[str] = mapped_column(Text)
    department_code: Mapped[str] = mapped_column(Text)
    matter_code: Mapped[str | None] = mapped_column(Text)
    occurred_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    logged_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    payload: Mapped[bytes] = mapped_column(LargeBinary)
