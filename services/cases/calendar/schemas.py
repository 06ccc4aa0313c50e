"""The working calendar, and what follows from a change of it."""

from datetime import date
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field, model_validator

from services.cases.schema_base import Strict
from shared.errors import InvalidValueError
from shared.fields import Line


class CalendarDayEntry(Strict):
    """A day that differs from Monday to Friday, or is set back to them."""

    day: Annotated[date, Field(ge=date(2000, 1, 1), le=date(2100, 12, 31))]
    is_working: bool
    note: Line


class ChangeDays(Strict):
    """Days of the calendar as the city has announced them; days not named stay as they are."""

    days: list[CalendarDayEntry] = Field(min_length=1, max_length=400)

    @model_validator(mode="after")
    def _each_once(self) -> "ChangeDays":
        if len({day.day for day in self.days}) < len(self.days):
            raise InvalidValueError("each day is named once")
        return self


class CalendarRead(BaseModel):
    """The days of a year that differ from Monday to Friday; `announced` when the year has any."""

    year: int
    announced: bool
    days: list[CalendarDayEntry]


class MovedCases(BaseModel):
    """How many open cases of a department have got another due date."""

    area_code: str
    department_code: str
    cases: int


class CalendarChangeRead(BaseModel):
    """A change of the calendar and what followed from it.

    `finished` when every open case has been checked.
    """

    id: UUID | None
    changed_days: int
    finished: bool
    moved: int
    departments: list[MovedCases]
