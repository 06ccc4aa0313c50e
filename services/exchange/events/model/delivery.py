"""The delivery of one event to one webhook: what waits, what failed, and for a while what arrived."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, ForeignKey, Index, Integer, Text, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from services.exchange.model_base import Base

RETRIES = tuple(
    timedelta(seconds=seconds)
    for seconds in (
        5,
        30,
        300,
        1800,
        2 * 3600,
        5 * 3600,
        10 * 3600,
        14 * 3600,
        20 * 3600,
        24 * 3600,
    )
)
"""Pauses after the first failure and each further one; the last repeats."""
JITTER = 0.2
GIVE_UP_AFTER = timedelta(hours=120)
ALERT_AFTER = timedelta(minutes=15)
LEASE = timedelta(seconds=60)
"""A claimed delivery whose worker died is due again after this: longer than any request may last."""


class DeliveryState(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"  # waits for its peer or an administrator to drive it again
    CANCELLED = "cancelled"  # the peer may no longer see it


class Delivery(Base):
    """Written when an event's turn has come, not before: the backlog of a subscriber that is down stays in the log.

    Of the pending ones of a key only the first is sent. A claim moves `next_attempt_at` to the end of its lease.
    """

    __tablename__ = "delivery"
    __table_args__ = (
        Index("ix_delivery_state", "subscription_id", "state", "sequence"),
        Index(
            "ix_delivery_due",
            "subscription_id",
            "next_attempt_at",
            "sequence",
            postgresql_where=text("state = 'pending'"),
        ),
        Index(
            "ix_delivery_key",
            "subscription_id",
            "key",
            "sequence",
            postgresql_where=text("state = 'pending'"),
        ),
        Index(
            "ix_delivery_failing",
            "first_failed_at",
            postgresql_where=text("state = 'pending' AND first_failed_at IS NOT NULL"),
        ),
        Index("ix_delivery_history", "delivered_at", postgresql_where=text("state = 'delivered'")),
    )

    subscription_id: Mapped[UUID] = mapped_column(ForeignKey("subscription.id"), primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    event_id: Mapped[UUID] = mapped_column(Uuid)
    type: Mapped[str] = mapped_column(Text)
    key: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(Integer)
    next_attempt_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    first_failed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    delivered_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    last_status: Mapped[int | None] = mapped_column(Integer)
    cause: Mapped[str | None] = mapped_column(Text)


class Statistic(Base):
    """How often something happened to the events of one type under one subscription; counted as it happens.

    `measure`: `sent`, `acknowledged`, or `rejected:` and the cause.
    """

    __tablename__ = "delivery_statistic"

    subscription_id: Mapped[UUID] = mapped_column(ForeignKey("subscription.id"), primary_key=True)
    type: Mapped[str] = mapped_column(Text, primary_key=True)
    measure: Mapped[str] = mapped_column(Text, primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attempt; `cause` None: taken. `retry_after` in seconds, as the endpoint asked."""

    subscription_id: UUID
    sequence: int
    event_id: UUID
    type: str
    key: str
    attempts: int
    first_failed_at: datetime | None
    status: int | None = None
    cause: str | None = None
    retry_after: float | None = None

    @property
    def gone(self) -> bool:
        return self.status == 410

    def is_hopeless(self, now: datetime) -> bool:
        return self.first_failed_at is not None and self.first_failed_at <= now - GIVE_UP_AFTER

    def next_attempt(self, now: datetime, chance: float | None = None) -> datetime:
        """When to try again after this failure: by the schedule ±20 %, or as asked within once and twice its pause."""
        base = RETRIES[min(self.attempts, len(RETRIES) - 1)]
        if self.retry_after is not None:
            return now + min(max(timedelta(seconds=self.retry_after), base), 2 * base)
        spread = random.uniform(-JITTER, JITTER) if chance is None else chance  # noqa: S311 - spreads load, guards nothing
        return now + base * (1 + spread)
