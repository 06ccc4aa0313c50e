"""The tables of the working calendar."""

from services.cases.model_base import Base
from shared.database.common_tables import CalendarDayRow, CalendarVersionRow


class CalendarDay(CalendarDayRow, Base):
    """A day that differs from Monday to Friday."""


class CalendarVersion(CalendarVersionRow, Base):
    """The version of the calendar: one row."""
