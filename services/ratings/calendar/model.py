"""The working calendar that this service keeps (工作日历), and the deadlines of its loop."""

from dataclasses import dataclass, fields

from sqlalchemy import SmallInteger, Text
from sqlalchemy.orm import Mapped, mapped_column

from services.ratings.model_base import Base
from shared.database.calendar import CalendarDayRow, CalendarVersionRow


class CalendarDay(CalendarDayRow, Base):
    """A day that differs from Monday to Friday; follows `calendar-changed` of cases."""


class CalendarVersion(CalendarVersionRow, Base):
    """Names the present content of the calendar."""


class Deadline(Base):
    """Working days of one step (办理时限), where the city wants another number than the default."""

    __tablename__ = "deadline"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    days: Mapped[int] = mapped_column(SmallInteger)


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Working days of every step; rows of `deadline` replace these defaults."""

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
