"""The clocks of a ticket, and who is told when one runs out (逐级督办).

A clock that is overdue goes to the section head the day after, and every `step` working days one
level further up.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from shared.domain.workdays import WorkCalendar

Clock = Literal["callback", "verify", "rectify", "feedback"]
LEVELS = 3
"""1 section head, 2 department head, 3 the area's supervisor."""
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, order=True)
class Escalation:
    """A clock that ran out, at one level; `day` is the first on which that level has it."""

    day: date
    clock: Clock
    level: int


def escalations(
    clocks: Mapping[Clock, date], step: int, *, calendar: WorkCalendar
) -> Iterator[Escalation]:
    """Everything that will be escalated if nobody stops these clocks, given with their due days."""
    for clock, due_on in clocks.items():
        for level in range(1, LEVELS + 1):
            last_day = calendar.add_working_days(due_on, step * (level - 1))
            yield Escalation(last_day + DAY, clock, level)
