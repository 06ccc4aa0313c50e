"""Columns of tables that several services have, each in its own database."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import Boolean, Date, DateTime, LargeBinary, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from shared.security.crypto import Encrypted


class CalendarDayRow:
    """A day that differs from Monday to Friday."""

    __tablename__ = "calendar_day"

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    is_working: Mapped[bool] = mapped_column(Boolean)
    note: Mapped[str] = mapped_column(Text)


class CalendarVersionRow:
    """One row, with a new random value for every change of the calendar.

    The value names the content, so that each process can keep the calendar it has read.
    """

    __tablename__ = "calendar_version"

    version: Mapped[UUID] = mapped_column(Uuid, primary_key=True)


class SmsMessageRow:
    """What the development sender sent, for operators to read."""

    __tablename__ = "sms_message"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    phone_hash: Mapped[bytes] = mapped_column(LargeBinary, index=True)
    text: Mapped[str] = mapped_column(Encrypted("sms_message.text"))
    sent_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)
