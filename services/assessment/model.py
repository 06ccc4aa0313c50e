"""Tables of the read model, and the rule that turns what is known of a case or matter into daily counts.

Each case and matter has one record here, fed by its events. What a record counts for is a pure function of the record
(`figures`); when an event changes the record, the counters get the difference. So a repeated, late or corrected fact can
never be counted twice, and the counters equal a recount of the records at any time.
"""

from collections import Counter
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, Date, DateTime, Index, Integer, Text, UniqueConstraint, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared import clock
from shared.db import new_metadata
from shared.events import Event
from shared.events.assessment import DailyReportPublished
from shared.events.cases import (
    CaseAccepted,
    CaseClosed,
    CaseDecided,
    CaseEvent,
    CaseImported,
    CaseNotAccepted,
    CaseReceived,
    CaseSubmitted,
    CaseWithdrawn,
    ImportFinished,
    LightCleared,
    LightRaised,
    ResultDelivered,
)
from shared.events.matters import MatterCancelled, MatterEvent, MatterPublished, MatterSuspended

MEASURES = (
    "matters_published",
    "depth_raised",
    "depth_lowered",
    "cases_submitted",
    "cases_received",
    "cases_accepted",
    "cases_deemed_accepted",
    "cases_not_accepted",
    "cases_decided",
    "cases_closed",
    "cases_closed_immediate",
    "cases_closed_overdue",
    "cases_withdrawn",
    "results_delivered",
    "lights_yellow",
    "lights_red",
    "lights_deep_red",
    "lights_cleared",
    "pushes_accepted",
    "pushes_rejected",
)
"""What a day is counted in. `matters_published` is a stock (its daily counts are changes); all others are flows."""

Place = tuple[str, str]
"""Area code and department code."""
Cell = tuple[date, str, str, str]
"""Day, area, department, measure."""


class Base(DeclarativeBase):
    metadata = new_metadata()


class CaseRecord(Base):
    """What the daily figures need of one case."""

    __tablename__ = "case_record"

    case_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    area_code: Mapped[str] = mapped_column(Text)
    department_code: Mapped[str] = mapped_column(Text)
    immediate: Mapped[bool] = mapped_column(Boolean)
    submitted_on: Mapped[date | None] = mapped_column(Date)
    received_on: Mapped[date | None] = mapped_column(Date)
    accepted_on: Mapped[date | None] = mapped_column(Date)
    deemed: Mapped[bool] = mapped_column(Boolean)
    not_accepted_on: Mapped[date | None] = mapped_column(Date)
    decided_on: Mapped[date | None] = mapped_column(Date)
    closed_on: Mapped[date | None] = mapped_column(Date)
    overdue: Mapped[bool] = mapped_column(Boolean)
    withdrawn_on: Mapped[date | None] = mapped_column(Date)
    delivered_on: Mapped[date | None] = mapped_column(Date)


class MatterRecord(Base):
    """Whether a matter is published, and how deep."""

    __tablename__ = "matter_record"

    matter_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    area_code: Mapped[str] = mapped_column(Text)
    department_code: Mapped[str] = mapped_column(Text)
    published: Mapped[bool] = mapped_column(Boolean)
    level: Mapped[int] = mapped_column(Integer)


class DayCount(Base):
    """One figure of one department on one day."""

    __tablename__ = "day_count"
    __table_args__ = (Index("ix_day_count_stock", "measure", "day"),)

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    area_code: Mapped[str] = mapped_column(Text, primary_key=True)
    department_code: Mapped[str] = mapped_column(Text, primary_key=True)
    measure: Mapped[str] = mapped_column(Text, primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)


class DailyReport(Base):
    """A published report, frozen; a correction is a further revision with its reason."""

    __tablename__ = "daily_report"
    __table_args__ = (UniqueConstraint("day", "revision"),)

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    day: Mapped[date] = mapped_column(Date)
    revision: Mapped[int] = mapped_column(Integer)
    figures: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    reason: Mapped[str | None] = mapped_column(Text)
    published_by: Mapped[str] = mapped_column(Text)
    published_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))

    def published(self) -> DailyReportPublished:
        return DailyReportPublished(
            report_id=self.id,
            day=self.day,
            figures=self.figures,
            reason=self.reason,
            published_by=self.published_by,
            published_at=self.published_at,
            revision=self.revision,
            occurred_at=self.published_at,
        )

    @classmethod
    def from_event(cls, event: DailyReportPublished) -> "DailyReport":
        names = ("day", "revision", "figures", "reason", "published_by", "published_at")
        return cls(id=event.report_id, **{name: getattr(event, name) for name in names})


@dataclass(frozen=True, slots=True)
class CaseState:
    """A case record in memory; field for field the row of `case_record`."""

    case_id: UUID
    area_code: str
    department_code: str
    immediate: bool = False
    submitted_on: date | None = None
    received_on: date | None = None
    accepted_on: date | None = None
    deemed: bool = False
    not_accepted_on: date | None = None
    decided_on: date | None = None
    closed_on: date | None = None
    overdue: bool = False
    withdrawn_on: date | None = None
    delivered_on: date | None = None

    def figures(self) -> Counter[Cell]:
        """What this case counts for, by day and measure."""
        days = {
            "cases_submitted": self.submitted_on,
            "cases_received": self.received_on,
            "cases_accepted": self.accepted_on,
            "cases_deemed_accepted": self.accepted_on if self.deemed else None,
            "cases_not_accepted": self.not_accepted_on,
            "cases_decided": self.decided_on,
            "cases_closed": self.closed_on,
            "cases_closed_immediate": self.closed_on if self.immediate else None,
            "cases_closed_overdue": self.closed_on if self.overdue else None,
            "cases_withdrawn": self.withdrawn_on,
            "results_delivered": self.delivered_on,
        }
        return Counter(
            {
                (day, self.area_code, self.department_code, measure): 1
                for measure, day in days.items()
                if day is not None
            }
        )

    def after(self, event: CaseEvent) -> "CaseState":
        """The record once `event` is known."""
        match event:
            case CaseSubmitted():
                return replace(self, submitted_on=clock.local_date(event.occurred_at))
            case CaseReceived():
                return replace(self, received_on=event.received_on)
            case CaseAccepted():
                return replace(self, accepted_on=event.accepted_on, deemed=event.deemed)
            case CaseNotAccepted():
                return replace(self, not_accepted_on=clock.local_date(event.occurred_at))
            case CaseDecided():
                return replace(self, decided_on=event.decided_on)
            case CaseClosed():
                return replace(self, closed_on=event.closed_on, overdue=event.overdue)
            case CaseWithdrawn():
                return replace(self, withdrawn_on=clock.local_date(event.occurred_at))
            case ResultDelivered():
                return replace(self, delivered_on=event.delivered_on)
            case CaseImported():
                return replace(
                    self,
                    received_on=event.received_on,
                    accepted_on=event.accepted_on,
                    closed_on=event.closed_on,
                    overdue=event.overdue,
                )
            case _:
                return self


def first_state(event: CaseEvent) -> CaseState:
    return CaseState(event.case_id, event.area_code, event.department_code, event.immediate)


def figures_of_event(event: Event) -> Counter[Cell]:
    """Facts that are counted by themselves, not through a record."""
    match event:
        case LightRaised():
            day = clock.local_date(event.raised_at)
            return Counter({(day, event.area_code, event.department_code, f"lights_{event.level}"): 1})
        case LightCleared():
            day = clock.local_date(event.occurred_at)
            return Counter({(day, event.area_code, event.department_code, "lights_cleared"): 1})
        case ImportFinished():
            day, place = clock.local_date(event.occurred_at), (event.area_code, event.department_code)
            return Counter(
                {
                    (day, *place, "pushes_accepted"): event.accepted,
                    (day, *place, "pushes_rejected"): event.rejected,
                }
            )
        case _:
            return Counter()


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
