"""What the daily figures need to know of a matter."""

from collections import Counter
from copy import copy
from dataclasses import dataclass
from datetime import date
from typing import Self
from uuid import UUID

from sqlalchemy import Boolean, Integer, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from services.assessment.model.base import Base, Cell, Measure
from shared import clock
from shared.events.matters import MatterCancelled, MatterEvent, MatterPublished, MatterSuspended


class MatterRecord(Base):
    """Whether a matter is published, and its online depth (办理深度) 1 to 4."""

    __tablename__ = "matter_record"

    matter_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    area_code: Mapped[str] = mapped_column(Text)
    department_code: Mapped[str] = mapped_column(Text)
    published: Mapped[bool] = mapped_column(Boolean)
    level: Mapped[int] = mapped_column(Integer)


@dataclass(slots=True)
class MatterState:
    """A matter record in memory; field for field the row of `matter_record`."""

    matter_id: UUID
    area_code: str
    department_code: str
    published: bool = False
    level: int = 0

    @classmethod
    def first(cls, event: MatterEvent) -> Self:
        """The record of a matter of which nothing is known but whose it is."""
        return cls(event.matter_id, event.area_code, event.department_code)

    def _depth_change(self, level: int) -> Measure | None:
        """Whether the depth of online handling (网办深度) has changed, and which way."""
        # The first publication has no depth to compare with.
        if not self.level or level == self.level:
            return None
        if level > self.level:
            return Measure.DEPTH_RAISED
        return Measure.DEPTH_LOWERED

    def after(self, event: MatterEvent) -> "tuple[MatterState, Counter[Cell]]":
        """The record once `event` is known, and the change it makes on its day."""
        day = clock.local_date(event.occurred_at)
        changes = Counter[Cell]()
        state = copy(self)
        match event:
            case MatterPublished():
                state.area_code = event.area_code
                state.department_code = event.department_code
                state.published = True
                state.level = event.level
                measure = self._depth_change(event.level)
                if measure is not None:
                    place = (event.area_code, event.department_code)
                    changes[Cell(day, *place, measure)] += 1
            case MatterSuspended() | MatterCancelled():
                state.published = False
            case _:
                pass
        # A matter that moves to another department is one less there and one more here.
        if self.published:
            changes[self._published_on(day)] -= 1
        if state.published:
            changes[state._published_on(day)] += 1
        return state, changes

    def _published_on(self, day: date) -> Cell:
        return Cell(day, self.area_code, self.department_code, Measure.MATTERS_PUBLISHED)
