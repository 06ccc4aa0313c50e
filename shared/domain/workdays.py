"""Working days of a city: Monday to Friday unless its calendar says otherwise (行政许可法 art. 82).

The start day is not counted; day 1 is the next working day (民法典 art. 201). A year is covered
when the calendar has rows of it. A computation that reaches an uncovered year is provisional,
because the holidays of that year have not been announced yet.
"""

import csv
from bisect import bisect_left, bisect_right
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cached_property, lru_cache
from pathlib import Path

from shared.clock import SHANGHAI, local_date

SEED = Path(__file__).parents[1] / "cities/lhasa/calendar.csv"
"""The days of the sample city."""
_seed: ContextVar[Path | None] = ContextVar("tongban_calendar_seed", default=SEED)
MARGIN_DAYS = 800
"""Days beyond the covered years for which working days are computed in advance."""


@dataclass(frozen=True)
class WorkCalendar:
    """`exceptions`: days that differ from Monday-to-Friday, True for a working one."""

    exceptions: Mapping[date, bool]

    @cached_property
    def covered_years(self) -> frozenset[int]:
        return frozenset(day.year for day in self.exceptions)

    @cached_property
    def _days(self) -> tuple[date, ...]:
        """All working days from the first covered year to well beyond the last, ascending."""
        return _lay_out(frozenset(self.exceptions.items()))

    def is_working(self, day: date) -> bool:
        return self.exceptions.get(day, day.weekday() < 5)

    def add_working_days(self, start: date, number: int) -> date:
        """The `number`-th working day after `start`, which is not counted.

        For 0 it is `start` itself.
        """
        if number < 0:
            raise ValueError("working days are added forward")
        if number == 0:
            return start
        place = bisect_right(self._days, start) + number - 1
        if start < self._days[0] or place >= len(self._days):
            return self._walk(start, number)
        return self._days[place]

    def _walk(self, start: date, number: int) -> date:
        day = start
        while number:
            day += timedelta(days=1)
            number -= self.is_working(day)
        return day

    def working_days_between(self, start: date, *, end: date) -> int:
        """Working days after `start` up to and including `end`.

        The number is negative when `end` is before `start`.
        """
        if end < start:
            return -self.working_days_between(end, end=start)
        if start >= self._days[0] and end <= self._days[-1]:
            return bisect_right(self._days, end) - bisect_right(self._days, start)
        return sum(
            self.is_working(start + timedelta(days=n)) for n in range(1, (end - start).days + 1)
        )

    def first_day_with_left(self, number: int, end: date) -> date:
        """The first day after whose close at most `number` working days are left until `end`."""
        place = bisect_right(self._days, end) - 1 - number
        if place >= 0 and end <= self._days[-1]:
            return self._days[place]
        day = end
        while self.working_days_between(day - timedelta(days=1), end=end) <= number:
            day -= timedelta(days=1)
        return day

    def next_working_day(self, day: date) -> date:
        """`day` itself when it is one, else the next."""
        place = bisect_left(self._days, day)
        return (
            self._days[place]
            if self._days[0] <= day <= self._days[-1]
            else self._walk(day - timedelta(days=1), 1)
        )

    def is_provisional(self, start: date, *, end: date) -> bool:
        """Whether the span touches a year whose holidays are not announced."""
        return not set(range(start.year, end.year + 1)) <= self.covered_years


@lru_cache(maxsize=8)
def _lay_out(exceptions: frozenset[tuple[date, bool]]) -> tuple[date, ...]:
    """Cached by content: services read their calendar for every request, and it rarely changes."""
    calendar = WorkCalendar(dict(exceptions))
    years = calendar.covered_years or {2021}
    start, end = date(min(years) - 1, 1, 1), date(max(years), 12, 31) + timedelta(days=MARGIN_DAYS)
    every = (start + timedelta(days=n) for n in range((end - start).days + 1))
    return tuple(day for day in every if calendar.is_working(day))


def due_moment(day: date, closes: time) -> datetime:
    """When the offices close on the last day; `closes` is the city's."""
    return datetime.combine(day, closes, tzinfo=SHANGHAI)


@dataclass(frozen=True, slots=True)
class Moment:
    """When something happens, and by which calendar its days are counted."""

    now: datetime
    calendar: WorkCalendar

    @property
    def today(self) -> date:
        """The city's day."""
        return local_date(self.now)

    def after(self, days: int) -> date:
        """The working day that is `days` after today."""
        return self.calendar.add_working_days(self.today, days)


@contextmanager
def seeding(path: Path | None) -> Generator[None]:
    """Let migrations in this block fill the calendar from `path`; without one they refuse to."""
    token = _seed.set(path)
    try:
        yield
    finally:
        _seed.reset(token)


def read_seed() -> list[tuple[date, bool, str]]:
    """The days that a new calendar begins with: date, working or not, note.

    Raises: `LookupError` where no city is named.
    """
    path = _seed.get()
    if path is None:
        raise LookupError("the city is not named: set <SERVICE>_CITY_FILE for its calendar")
    with path.open(encoding="utf-8", newline="") as file:
        rows: Iterable[dict[str, str]] = csv.DictReader(file)
        return [
            (date.fromisoformat(row["date"]), row["is_working"] == "1", row["note"]) for row in rows
        ]


def seed_calendar() -> WorkCalendar:
    return WorkCalendar({day: working for day, working, _ in read_seed()})
