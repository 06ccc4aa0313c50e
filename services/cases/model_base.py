"""What the tables and rules of cases have in common."""

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy.orm import DeclarativeBase

from shared import clock
from shared.database.session import new_metadata
from shared.domain.workdays import WorkCalendar

PLACE = ("area_code", "department_code")


@dataclass(frozen=True, slots=True)
class Moment:
    """When, and by which calendar."""

    now: datetime
    calendar: WorkCalendar

    @property
    def today(self) -> date:
        return clock.local_date(self.now)

    def after(self, days: int) -> date:
        return self.calendar.add_working_days(self.today, days)


class Base(DeclarativeBase):
    metadata = new_metadata()
