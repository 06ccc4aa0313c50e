"""Steps in the handling of a bad rating (差评整改)."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import DateTime, ForeignKey, Index, SmallInteger, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from services.ratings.model_base import Base
from shared.database.columns import enum_column
from shared.security.crypto import Encrypted


class TicketAct(StrEnum):
    """What was done to a ticket."""

    VERIFY = "verify"  # 核实
    CALL_BACK = "call_back"  # 回访
    PLAN = "plan"  # 整改方案
    APPROVE = "approve"
    COMPLETE = "complete"  # 整改完成
    EXPLAIN = "explain"  # 解释说明
    FEED_BACK = "feed_back"  # 反馈
    RERATE = "rerate"  # 再评价
    APPEAL = "appeal"  # 申诉
    REVIEW = "review"  # 复核


class Outcome(StrEnum):
    """What an act on a ticket came to, where the act has no list of its own."""

    CONFIRMED = "confirmed"
    NOT_CONFIRMED = "not_confirmed"
    REACHED = "reached"
    NOT_REACHED = "not_reached"
    SATISFIED = "satisfied"
    NOT_SATISFIED = "not_satisfied"
    AGREES = "agrees"
    REFUSES = "refuses"


class TicketStep(Base):
    """One act on a ticket, for those who must know later. `words` may tell of a person.

    `outcome` is a code whose values depend on the act.
    """

    __tablename__ = "ticket_step"
    __table_args__ = (Index("ix_ticket_step_ticket", "ticket_id", "id"),)

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    ticket_id: Mapped[UUID] = mapped_column(ForeignKey("ticket.id"))
    round: Mapped[int] = mapped_column(SmallInteger)
    act: Mapped[TicketAct] = enum_column(TicketAct)
    outcome: Mapped[str | None] = mapped_column(Text)
    words: Mapped[str | None] = mapped_column(Encrypted("ticket_step.words"))
    officer: Mapped[str | None] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
