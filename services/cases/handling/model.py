"""The lights over cases (红黄灯): raised and put out by the timer, answered by the department."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Date, DateTime, ForeignKey, Index, Integer, Text, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from services.cases.case_file.model.case import Case
from services.cases.case_file.model.clocks import Lamp, Level
from services.cases.model_base import PLACE, Base
from shared.domain.workdays import Moment
from shared.errors import ConflictError
from shared.events.cases import LightCleared, LightRaised
from shared.ids import new_id

BURNS = "cleared_at IS NULL"


class Light(Base):
    """A light over a case (红黄灯): one per case, rule, level and due date, answered by the department that owns it."""

    __tablename__ = "light"
    __table_args__ = (
        Index("uq_light_lamp", "case_id", "rule", "level", "due_on", unique=True),
        Index("ix_light_department", *PLACE, "id"),
        Index("ix_light_area", "area_code", "id"),
        Index("ix_light_open_department", *PLACE, "id", postgresql_where=text(BURNS)),
        Index("ix_light_open_area", "area_code", "id", postgresql_where=text(BURNS)),
        Index("ix_light_open", "id", postgresql_where=text(BURNS)),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    case_id: Mapped[UUID] = mapped_column(ForeignKey("case_file.id"))
    number: Mapped[str] = mapped_column(Text)
    matter_name: Mapped[str] = mapped_column(Text)
    area_code: Mapped[str] = mapped_column(Text)
    department_code: Mapped[str] = mapped_column(Text)
    rule: Mapped[str] = mapped_column(Text)
    level: Mapped[str] = mapped_column(Text)
    due_on: Mapped[date] = mapped_column(Date)
    revision: Mapped[int] = mapped_column(Integer)
    raised_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    answer: Mapped[str | None] = mapped_column(Text)
    answered_by: Mapped[str | None] = mapped_column(Text)
    answered_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    cleared_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    @classmethod
    def over(cls, case: Case, lamp: Lamp) -> "Light":
        """A light that has not been raised yet."""
        place = {name: getattr(case, name) for name in ("number", "matter_name", *PLACE)}
        return cls(
            id=new_id(),
            case_id=case.id,
            rule=lamp.rule,
            level=lamp.level,
            due_on=lamp.due_on,
            revision=0,
            **place,
        )

    @property
    def lamp(self) -> Lamp:
        return Lamp(self.rule, Level(self.level), self.due_on)

    @property
    def burns(self) -> bool:
        return self.cleared_at is None

    def _facts(self, case: Case, at: Moment) -> dict[str, Any]:
        return {**case.facts(at), "light_id": self.id, "level": self.level, "rule": self.rule}

    def turn_on(self, case: Case, at: Moment) -> LightRaised:
        self.revision += 1
        self.raised_at, self.cleared_at = at.now, None
        return LightRaised(**self._facts(case, at), raised_at=at.now)

    def turn_off(self, case: Case, at: Moment) -> LightCleared:
        """No longer true, or answered."""
        self.revision += 1
        self.cleared_at = at.now
        return LightCleared(**self._facts(case, at))

    def reply(self, officer: str, words: str, case: Case, at: Moment) -> LightCleared:
        """The department says why and what it does; the light goes out and stays out."""
        if not self.burns:
            raise ConflictError("this light is out already")
        self.answer, self.answered_by, self.answered_at = words, officer, at.now
        return self.turn_off(case, at)
