"""What the daily figures need to know of a service event that was rated."""

from collections import Counter
from copy import copy
from dataclasses import dataclass
from typing import Self
from uuid import UUID

from sqlalchemy import Boolean, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from services.assessment.model.base import RATINGS_BY_CHANNEL, Base, Cell, Measure
from shared import clock
from shared.events.ratings import (
    BadRatingCalledBack,
    BadRatingEscalated,
    BadRatingOpened,
    BadRatingRectified,
    RatingEvent,
    RatingExcluded,
    RatingSubmitted,
)

WORST_GRADES = 2
"""Grades 1 and 2 are bad ratings (差评)."""


class RatingRecord(Base):
    """Whether a bad rating of this service event waits for rectification (整改)."""

    __tablename__ = "rating_record"

    subject_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    area_code: Mapped[str] = mapped_column(Text)
    department_code: Mapped[str] = mapped_column(Text)
    ticket_open: Mapped[bool] = mapped_column(Boolean)


@dataclass(slots=True)
class RatingState:
    """A rating record in memory; field for field the row of `rating_record`."""

    subject_id: UUID
    area_code: str
    department_code: str
    ticket_open: bool = False

    @classmethod
    def first(cls, event: RatingEvent) -> Self:
        """The record of a service event of which nothing is known but whose it is."""
        return cls(event.subject_id, event.area_code, event.department_code)

    def _apply(self, event: RatingEvent) -> list[Measure]:
        """Take the event in; the measures that it adds one to."""
        match event:
            case RatingSubmitted():
                return _measures_of(event)
            case BadRatingOpened():
                self.ticket_open = True
                return [Measure.BAD_RATINGS_OPENED]
            case BadRatingCalledBack():
                return [Measure.BAD_RATINGS_CALLED_BACK]
            case BadRatingEscalated():
                return [Measure.BAD_RATINGS_ESCALATED]
            case BadRatingRectified():
                self.ticket_open = False
                return [Measure.BAD_RATINGS_RECTIFIED]
            case RatingExcluded():
                self.ticket_open = False
                return [Measure.RATINGS_EXCLUDED]
            case _:
                return []

    def after(self, event: RatingEvent) -> "tuple[RatingState, Counter[Cell]]":
        """The record once `event` is known, and the change it makes on its day."""
        day = clock.local_date(event.occurred_at)
        if isinstance(event, RatingSubmitted):
            # A record of a private network comes days after the rating was given.
            day = event.rated_on
        state = copy(self)
        measures = state._apply(event)
        place = (self.area_code, self.department_code)
        changes = Counter[Cell]()
        for measure in measures:
            changes[Cell(day, *place, measure)] += 1
        open_change = int(state.ticket_open) - int(self.ticket_open)
        changes[Cell(day, *place, Measure.BAD_RATINGS_OPEN)] += open_change
        return state, changes


def _measures_of(event: RatingSubmitted) -> list[Measure]:
    measures = [RATINGS_BY_CHANNEL[event.pf]]
    if event.grade <= WORST_GRADES:
        measures.append(Measure.RATINGS_BAD)
    return measures
