"""Changes of the calendar."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, Index, SmallInteger, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.cases.model_base import Base


class CalendarChange(Base):
    """A change of the calendar and how far the due dates of open cases follow it.

    `days`: the changed days as sent. `reached`: the last case looked at in the running pass, stored with the work, so that
    a process that dies is followed by another without a gap. A second pass, minutes later, finds the cases whose
    transaction had read the old calendar while the first was running. `moved`: number of cases by area and department.
    """

    __tablename__ = "calendar_change"
    __table_args__ = (
        Index("ix_calendar_change_unfinished", "id", postgresql_where=text("passes < 2")),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    days: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    changed_by: Mapped[str] = mapped_column(Text)
    changed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    passes: Mapped[int] = mapped_column(SmallInteger)
    reached: Mapped[UUID] = mapped_column(Uuid)
    moved: Mapped[dict[str, int]] = mapped_column(JSONB)
