"""What the daily figures need of a matter."""

from collections import Counter
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import Boolean, Integer, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from services.assessment.model.base import Base, Cell
from shared import clock
from shared.events.matters import MatterCancelled, MatterEvent, MatterPublished, MatterSuspended


class MatterRecord(Base):
    """Whether a matter is published, and how deep."""

    __tablename__ = "matter_record"

    matter_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    area_code: Mapped[str] = mapped_column(Text)
    department_code: Mapped[str] = mapped_column(Text)
    published: Mapped[bool] = mapped_column(Boolean)
    level: Mapped[int] = mapped_column(Integer)


@dataclass(frozen=True, slots=True)
class MatterState:
    """A matter record in memory; field for field the row of `matter_record`."""

    matter_id: UUID
    area_code: str
    department_code: str
    published: bool = False
    level: int = 0

    def after(self, event: MatterEvent) -> "tuple[MatterState, Counter[Cell]]":
        """The record once `event` is known, and the change it makes on its day."""
        day, changes = clock.local_date(event.occurred_at), Counter[Cell]()
        state = self
        match event:
            case MatterPublished():
                state = replace(
                    self,
                    area_code=event.area_code,
                    department_code=event.department_code,
                    published=True,
                    level=event.level,
                )
                if self.level and event.level != self.level:
                    direction = "depth_raised" if event.level > self.level else "depth_lowered"
                    changes[(day, event.area_code, event.department_code, direction)] += 1
            case MatterSuspended() | MatterCancelled():
                state = replace(self, published=False)
            case _:
                pass
        for known, sign in ((self, -1), (state, 1)):
            if known.published:
                changes[(day, known.area_code, known.department_code, "matters_published")] += sign
        return state, changes
