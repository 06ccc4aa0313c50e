"""Days that differ from Monday to Friday."""

from datetime import date
from uuid import UUID

from sqlalchemy import Boolean, Date, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from services.cases.model_base import Base


class CalendarDay(Base):
    """A day that differs from Monday to Friday."""

    __tablename__ = "calendar_day"

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    is_working: Mapped[bool] = mapped_column(Boolean)
    note: Mapped[str] = mapped_column(Text)


class CalendarVersion(Base):
    """One row, a new random value with every change of the calendar: it names the content, whatever process reads it."""

    __tablename__ = "calendar_version"

    version: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
