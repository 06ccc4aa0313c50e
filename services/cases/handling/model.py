"""The lights over cases (红黄灯): raised and cleared by the timer, answered by the department."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import Date, DateTime, ForeignKey, Index, Integer, Text, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from services.cases.case_file.model.case import Case
from services.cases.case_file.model.clocks import Level, LightKey, LightRule
from services.cases.model_base import PLACE, Base
from shared.database.columns import enum_column
from shared.domain.workdays import Moment
from shared.errors import ConflictError
from shared.events.cases import LightCleared, LightRaised
from shared.ids import new_id

# As SQL, letter for letter the predicate of the partial indexes: with a bound parameter
# PostgreSQL could not use them in a generic plan.
IS_RAISED = "cleared_at IS NULL"


class Light(Base):
    """A light over a case (红黄灯), answered by the department in charge.

    A case has one for each rule, level and due date; it can be raised again after it was cleared.
    """

    __tablename__ = "light"
    __table_args__ = (
        # A light that is raised again is the same row, with the next revision.
        Index("uq_light_lamp", "case_id", "rule", "level", "due_on", unique=True),
        Index("ix_light_department", *PLACE, "id"),
        Index("ix_light_area", "area_code", "id"),
        # Most lights are out: these three hold only the raised ones, for work lists.
        Index("ix_light_open_department", *PLACE, "id", postgresql_where=text(IS_RAISED)),
        Index("ix_light_open_area", "area_code", "id", postgresql_where=text(IS_RAISED)),
        Index("ix_light_open", "id", postgresql_where=text(IS_RAISED)),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    case_id: Mapped[UUID] = mapped_column(ForeignKey("case_file.id"))
    # Copied from the case: lists of lights are read and filtered without the cases.
    number: Mapped[str] = mapped_column(Text)
    matter_name: Mapped[str] = mapped_column(Text)
    area_code: Mapped[str] = mapped_column(Text)
    department_code: Mapped[str] = mapped_column(Text)
    rule: Mapped[LightRule] = enum_column(LightRule)
    level: Mapped[Level] = enum_column(Level)
    due_on: Mapped[date] = mapped_column(Date)
    revision: Mapped[int] = mapped_column(Integer)
    raised_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    answer: Mapped[str | None] = mapped_column(Text)
    answered_by: Mapped[str | None] = mapped_column(Text)
    answered_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    cleared_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    @classmethod
    def over(cls, case: Case, key: LightKey) -> "Light":
        """A light that has not been raised yet."""
        return cls(
            id=new_id(),
            case_id=case.id,
            number=case.number,
            matter_name=case.matter_name,
            area_code=case.area_code,
            department_code=case.department_code,
            rule=key.rule,
            level=key.level,
            due_on=key.due_on,
            revision=0,
        )

    @property
    def key(self) -> LightKey:
        """What identifies the light among those of its case."""
        return LightKey(self.rule, self.level, self.due_on)

    @property
    def is_raised(self) -> bool:
        """Whether it is on now."""
        return self.cleared_at is None

    @property
    def may_be_raised(self) -> bool:
        """Whether it can go on now: for the first time, or again if nobody has answered it."""
        if self.revision == 0:
            return True
        # An answered light stays out: the department has said why this due date was missed.
        return not self.is_raised and self.answer is None

    def turn_on(self, case: Case, at: Moment) -> LightRaised:
        """Its rule has become true."""
        self.revision += 1
        self.raised_at = at.now
        # When it is raised again, it was cleared before.
        self.cleared_at = None
        return LightRaised(
            **case.facts(at),
            light_id=self.id,
            level=self.level.value,
            rule=self.rule.value,
            raised_at=at.now,
        )

    def turn_off(self, case: Case, at: Moment) -> LightCleared:
        """Its rule is no longer true, or the department has answered."""
        self.revision += 1
        self.cleared_at = at.now
        return LightCleared(
            **case.facts(at), light_id=self.id, level=self.level.value, rule=self.rule.value
        )

    def reply(self, officer: str, *, text: str, case: Case, at: Moment) -> LightCleared:
        """The department says why and what it does; the light goes out and stays out."""
        if not self.is_raised:
            # The timer or an act was first: what went out by itself needs no answer.
            raise ConflictError("this light is out already")
        self.answer = text
        self.answered_by = officer
        self.answered_at = at.now
        return self.turn_off(case, at)
