"""The working calendar of the city (工作日历), and its changes."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import DateTime, Index, SmallInteger, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.cases.model_base import Base
from shared.database.calendar import CalendarDayRow, CalendarVersionRow
from shared.database.columns import StoredModel, json_column


class CalendarDay(CalendarDayRow, Base):
    """A day that differs from Monday to Friday."""


class CalendarVersion(CalendarVersionRow, Base):
    """The version of the calendar: one row."""


class ChangedDay(StoredModel):
    """A day as an administrator has set it."""

    day: date
    note: str
    is_working: bool


class CalendarChange(Base):
    """A change of the calendar, and how far the due dates of open cases have followed it.

    `days`: the days that really changed. `reached`: the last case of the running pass; it is stored
    with the work, so that another process can go on when this one ends. A second pass, minutes
    later, finds the cases of transactions that had read the old calendar during the first.
    `moved`: number of cases by area and department (`area/department`).
    """

    __tablename__ = "calendar_change"
    __table_args__ = (
        Index("ix_calendar_change_unfinished", "id", postgresql_where=text("passes < 2")),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    days: Mapped[list[ChangedDay]] = json_column(list[ChangedDay])
    changed_by: Mapped[str] = mapped_column(Text)
    changed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    passes: Mapped[int] = mapped_column(SmallInteger)
    reached: Mapped[UUID] = mapped_column(Uuid)
    moved: Mapped[dict[str, int]] = mapped_column(JSONB)
