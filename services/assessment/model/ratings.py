"""What the daily figures need of a service event that was rated."""

from collections import Counter
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import Boolean, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from services.assessment.model.base import CHANNELS, Base, Cell
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


class RatingRecord(Base):
    """Whether a bad rating of this service event waits to be put right."""

    __tablename__ = "rating_record"

    subject_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    area_code: Mapped[str] = mapped_column(Text)
    department_code: Mapped[str] = mapped_column(Text)
    ticket_open: Mapped[bool] = mapped_column(Boolean)


@dataclass(frozen=True, slots=True)
class RatingState:
    """A rating record in memory; field for field the row of `rating_record`."""

    subject_id: UUID
    area_code: str
    department_code: str
    ticket_open: bool = False

    def after(self, event: RatingEvent) -> "tuple[RatingState, Counter[Cell]]":
        """The record once `event` is known, and the change it makes on its day."""
        day, state, names = clock.local_date(event.occurred_at), self, list[str]()
        match event:
            case RatingSubmitted():
                day, names = event.rated_on, [f"ratings_{CHANNELS[event.pf]}"]
                if event.grade <= 2:
                    names.append("ratings_bad")
            case BadRatingOpened():
                state, names = replace(self, ticket_open=True), ["bad_ratings_opened"]
            case BadRatingCalledBack():
                names = ["bad_ratings_called_back"]
            case BadRatingEscalated():
                names = ["bad_ratings_escalated"]
            case BadRatingRectified():
                state, names = replace(self, ticket_open=False), ["bad_ratings_rectified"]
            case RatingExcluded():
                state, names = replace(self, ticket_open=False), ["ratings_excluded"]
            case _:
                pass
        place = (self.area_code, self.department_code)
        changes = Counter({(day, *place, name): 1 for name in names})
        changes[(day, *place, "bad_ratings_open")] += state.ticket_open - self.ticket_open
        return state, changes
