"""Deliveries of events to webhooks: what waits, what failed, and for a while what arrived."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, ForeignKey, Index, Integer, Text, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from services.exchange.model_base import Base
from shared.database.columns import enum_column

RETRIES = (
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
"""Pauses after the first failure and each further one; the last repeats."""
JITTER = 0.2
GIVE_UP_AFTER = timedelta(hours=120)
ALERT_AFTER = timedelta(minutes=15)
LEASE = timedelta(seconds=60)
"""A claimed delivery whose worker died is due again after this: longer than a request may last."""
GONE = 410
"""HTTP status by which an endpoint says that it will never take events again."""


class DeliveryState(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"  # waits until its peer or an administrator sends it again
    CANCELLED = "cancelled"  # the peer may no longer see it


class Delivery(Base):
    """An event whose turn has come for a subscription.

    It is written then and not before: the backlog of a subscriber that is down stays in the log.
    Of the pending ones of a key only the first is sent. A claim moves `next_attempt_at` to the end
    of its lease.
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
    state: Mapped[DeliveryState] = enum_column(DeliveryState)
    attempts: Mapped[int] = mapped_column(Integer)
    next_attempt_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    first_failed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    delivered_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    last_status: Mapped[int | None] = mapped_column(Integer)
    cause: Mapped[str | None] = mapped_column(Text)


class Measure(StrEnum):
    """What is counted of the events of one type under one subscription."""

    SENT = "sent"
    ACKNOWLEDGED = "acknowledged"
    REJECTED = "rejected"
    """Always with its cause: `rejected:<cause>`."""


class Statistic(Base):
    """How often something happened to the events of one type under one subscription.

    `measure` is one of `Measure`, with its cause after a colon; it is counted as it happens.
    """

    __tablename__ = "delivery_statistic"

    subscription_id: Mapped[UUID] = mapped_column(ForeignKey("subscription.id"), primary_key=True)
    type: Mapped[str] = mapped_column(Text, primary_key=True)
    measure: Mapped[str] = mapped_column(Text, primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one attempt.

    `cause` is why it failed, None when the endpoint took the event. `retry_after` is the pause in
    seconds that the endpoint asked for. `attempts` counts those before this one.
    """

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
        return self.status == GONE

    def is_hopeless(self, now: datetime) -> bool:
        return self.first_failed_at is not None and self.first_failed_at <= now - GIVE_UP_AFTER

    def state_after(self, now: datetime) -> DeliveryState:
        """The state of the delivery after this attempt."""
        if self.cause is None:
            return DeliveryState.DELIVERED
        if self.is_hopeless(now):
            return DeliveryState.DEAD
        return DeliveryState.PENDING

    def next_attempt(self, now: datetime, *, chance: float | None = None) -> datetime:
        """When to try again after this failure.

        By the schedule ±20 % (`chance` fixes the share for tests), or as the endpoint asked within
        once and twice the scheduled pause.
        """
        base = RETRIES[min(self.attempts, len(RETRIES) - 1)]
        if self.retry_after is not None:
            asked = timedelta(seconds=self.retry_after)
            return now + min(max(asked, base), 2 * base)
        if chance is None:
            chance = random.uniform(-JITTER, JITTER)  # noqa: S311 - spreads load, guards nothing
        return now + base * (1 + chance)
