"""What was sent and used around a rating: messages, codes of windows, tries of operators."""

from datetime import date, datetime

from sqlalchemy import BigInteger, Date, DateTime, Index, Integer, LargeBinary, Text
from sqlalchemy.orm import Mapped, mapped_column

from services.ratings.model_base import Base
from shared.database.common_tables import SmsMessageRow


class SmsMessage(SmsMessageRow, Base):
    """What the development sender sent, for operators to read."""


class WindowUse(Base):
    """A rating by a window's rotating code.

    Which phone and which address (both hashed) used which step of which window.
    """

    __tablename__ = "window_use"
    __table_args__ = (
        Index("ix_window_use_device", "window_hash", "device_hash", "used_at"),
        Index("ix_window_use_address", "window_hash", "address_hash", "used_at"),
        Index("ix_window_use_used_at", "used_at"),
    )

    window_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    step: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    device_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    address_hash: Mapped[bytes] = mapped_column(LargeBinary)
    used_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class HotlineTry(Base):
    """Tries of telephone digits for a case, by day: wrong ones, and those being looked at."""

    __tablename__ = "hotline_try"

    case_number: Mapped[str] = mapped_column(Text, primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    failures: Mapped[int] = mapped_column(Integer)
