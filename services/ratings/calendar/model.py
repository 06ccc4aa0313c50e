"""The working calendar as this service keeps it (工作日历), fed by `calendar-changed`."""

from dataclasses import dataclass, fields
from datetime import date
from uuid import UUID

from sqlalchemy import Boolean, Date, SmallInteger, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from services.ratings.model_base import Base


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


class Deadline(Base):
    """Working days of one step (办理时限), where the city wants another number than the default."""

    __tablename__ = "deadline"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    days: Mapped[int] = mapped_column(SmallInteger)


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Working days of every step; the rows of `deadline` say what differs from these defaults."""

    callback: int = 1
    verify: int = 3
    rectify_simple: int = 5
    rectify_complex: int = 15
    escalation_step: int = 2
    appeal: int = 3
    review: int = 5
    publish: int = 5
    rerate: int = 5
    """After feedback the rater has so long before silence closes the ticket."""

    @classmethod
    def names(cls) -> tuple[str, ...]:
        return tuple(field.name for field in fields(cls))
