"""When a light burns over a case (红黄灯, norms §3.4). Pure: every light a case can get, with the days it burns.

Yellow: at most one working day is left of a clock, or a step of the guide has overrun (even when the whole is in time).
Red: the promise has overrun, the 10 days of delivery have, or the organ's silence was the acceptance. Deep red: the
statutory days have overrun. A suspended case is grey: none burns.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from services.cases.case_file.model.states import State
from shared.domain.workdays import WorkCalendar

NOTICE_DAYS = 1
"""Working days left when the yellow light goes on."""
DAY = timedelta(days=1)


class Level(StrEnum):
    """灯色."""

    YELLOW = "yellow"
    RED = "red"
    DEEP_RED = "deep_red"


@dataclass(frozen=True, slots=True)
class Lamp:
    """A light of a case: by which rule, of which level, measured by which due date."""

    rule: str
    level: Level
    due_on: date


@dataclass(frozen=True, slots=True)
class Clocks:
    """What the rules look at."""

    state: str
    clock_from: date
    due_on: date
    legal_due_on: date | None
    step: str | None
    step_due_on: date | None
    deemed: bool


@dataclass(frozen=True, slots=True)
class Span:
    """A light and the days it burns if nothing happens to the case."""

    lamp: Lamp
    first: date
    last: date = date.max


def burning(clocks: Clocks, today: date, calendar: WorkCalendar) -> set[Lamp]:
    """The lights that burn today."""
    return {span.lamp for span in _spans(clocks, calendar) if span.first <= today <= span.last}


def next_day(clocks: Clocks, today: date, calendar: WorkCalendar) -> date | None:
    """The next day after today on which a light goes on; None when none will. A light that time puts out is followed
    by another on that day, so this is also the next day on which anything changes by itself."""
    return min(
        (span.first for span in _spans(clocks, calendar) if span.first > today), default=None
    )


def _spans(clocks: Clocks, calendar: WorkCalendar) -> Iterator[Span]:
    match clocks.state:
        case State.RECEIVED:
            yield _notice("acceptance", clocks.due_on, calendar)
        case State.ACCEPTED:
            yield _notice("promise", clocks.due_on, calendar)
            yield _overrun("promise", Level.RED, clocks.due_on)
            if clocks.legal_due_on is not None:
                yield _overrun("statute", Level.DEEP_RED, clocks.legal_due_on)
            if clocks.deemed:
                yield Span(
                    Lamp("deemed_acceptance", Level.RED, clocks.clock_from), clocks.clock_from
                )
        case State.DECIDED:
            yield _notice("delivery", clocks.due_on, calendar)
            yield _overrun("delivery", Level.RED, clocks.due_on)
        case _:
            return
    if clocks.step is not None and clocks.step_due_on is not None:
        yield _overrun(f"step_{clocks.step}", Level.YELLOW, clocks.step_due_on)


def _notice(rule: str, due_on: date, calendar: WorkCalendar) -> Span:
    return Span(
        Lamp(rule, Level.YELLOW, due_on), calendar.first_day_with_left(NOTICE_DAYS, due_on), due_on
    )


def _overrun(rule: str, level: Level, due_on: date) -> Span:
    return Span(Lamp(rule, level, due_on), due_on + DAY)
