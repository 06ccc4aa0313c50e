"""Which warning lights are raised over a case (红黄灯, norms §3.4), and on which days.

Pure functions.

Yellow: at most one working day is left of a clock, or a step of the guide has overrun, even when
the whole is in time. Red: the promise has overrun, the 10 days of delivery have, or the organ's
silence was the acceptance. Deep red: the statutory days have overrun. No light is raised over a
suspended case.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from services.cases.case_file.model.enums import StepRole
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


class LightRule(StrEnum):
    """The rule by which a light is raised: the clock that runs out."""

    ACCEPTANCE = "acceptance"
    PROMISE = "promise"
    STATUTE = "statute"
    DEEMED_ACCEPTANCE = "deemed_acceptance"
    DELIVERY = "delivery"
    STEP_INTAKE = "step_intake"
    STEP_REVIEW = "step_review"
    STEP_DECISION = "step_decision"
    STEP_DELIVERY = "step_delivery"


STEP_RULES = {
    StepRole.INTAKE: LightRule.STEP_INTAKE,
    StepRole.REVIEW: LightRule.STEP_REVIEW,
    StepRole.DECISION: LightRule.STEP_DECISION,
    StepRole.DELIVERY: LightRule.STEP_DELIVERY,
}


@dataclass(frozen=True, slots=True)
class LightKey:
    """What identifies a light of a case: the rule, the level, and the due date that it measures."""

    rule: LightRule
    level: Level
    due_on: date


@dataclass(frozen=True, slots=True)
class Clocks:
    """What the rules of lights look at."""

    state: State
    clock_from: date
    due_on: date
    legal_due_on: date | None
    step: StepRole | None
    step_due_on: date | None
    deemed: bool


@dataclass(frozen=True, slots=True)
class Span:
    """A light and the days on which it is raised if nothing happens to the case."""

    light: LightKey
    first: date
    last: date = date.max


def raised_lights(clocks: Clocks, today: date, *, calendar: WorkCalendar) -> set[LightKey]:
    """The lights that must be raised today."""
    lights: set[LightKey] = set()
    for span in _spans(clocks, calendar):
        if span.first <= today <= span.last:
            lights.add(span.light)
    return lights


def next_day(clocks: Clocks, today: date, *, calendar: WorkCalendar) -> date | None:
    """The next day after today on which a light goes on; None when none will.

    A light that time puts out is followed by another on the same day, so this is also the next day
    on which anything changes by itself.
    """
    later = [span.first for span in _spans(clocks, calendar) if span.first > today]
    return min(later, default=None)


def _spans(clocks: Clocks, calendar: WorkCalendar) -> Iterator[Span]:
    match clocks.state:
        case State.RECEIVED:
            yield _notice(LightRule.ACCEPTANCE, clocks.due_on, calendar=calendar)
        case State.ACCEPTED:
            yield _notice(LightRule.PROMISE, clocks.due_on, calendar=calendar)
            yield _overrun(LightRule.PROMISE, Level.RED, due_on=clocks.due_on)
            if clocks.legal_due_on is not None:
                yield _overrun(LightRule.STATUTE, Level.DEEP_RED, due_on=clocks.legal_due_on)
            if clocks.deemed:
                first = clocks.clock_from
                yield Span(LightKey(LightRule.DEEMED_ACCEPTANCE, Level.RED, first), first)
        case State.DECIDED:
            yield _notice(LightRule.DELIVERY, clocks.due_on, calendar=calendar)
            yield _overrun(LightRule.DELIVERY, Level.RED, due_on=clocks.due_on)
        case _:
            return
    if clocks.step is not None and clocks.step_due_on is not None:
        yield _overrun(STEP_RULES[clocks.step], Level.YELLOW, due_on=clocks.step_due_on)


def _notice(rule: LightRule, due_on: date, *, calendar: WorkCalendar) -> Span:
    first = calendar.first_day_with_left(NOTICE_DAYS, due_on)
    return Span(LightKey(rule, Level.YELLOW, due_on), first, due_on)


def _overrun(rule: LightRule, level: Level, *, due_on: date) -> Span:
    return Span(LightKey(rule, level, due_on), due_on + DAY)
