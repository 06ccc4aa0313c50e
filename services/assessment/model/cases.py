"""What the daily figures need of a case: the record, and what it counts for."""

from collections import Counter
from dataclasses import dataclass, replace
from datetime import date
from uuid import UUID

from sqlalchemy import Boolean, Date, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from services.assessment.model.base import Base, Cell
from shared import clock
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
    ResultDelivered,
)


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
