"""What the daily figures need to know of a case, and what it counts for."""

from collections import Counter
from copy import copy
from dataclasses import dataclass
from datetime import date
from typing import Self
from uuid import UUID

from sqlalchemy import Boolean, Date, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from services.assessment.model.base import Base, Cell, Measure
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
    """What the daily figures need to know of one case."""

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


@dataclass(slots=True)
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

    @classmethod
    def first(cls, event: CaseEvent) -> Self:
        """The record of a case of which nothing is known but whose it is."""
        return cls(event.case_id, event.area_code, event.department_code, event.immediate)

    def figures(self) -> Counter[Cell]:
        """What this case counts for, by day and measure."""
        days = {
            Measure.CASES_SUBMITTED: self.submitted_on,
            Measure.CASES_RECEIVED: self.received_on,
            Measure.CASES_ACCEPTED: self.accepted_on,
            Measure.CASES_NOT_ACCEPTED: self.not_accepted_on,
            Measure.CASES_DECIDED: self.decided_on,
            Measure.CASES_CLOSED: self.closed_on,
            Measure.CASES_WITHDRAWN: self.withdrawn_on,
            Measure.RESULTS_DELIVERED: self.delivered_on,
        }
        if self.deemed:
            days[Measure.CASES_DEEMED_ACCEPTED] = self.accepted_on
        if self.immediate:
            days[Measure.CASES_CLOSED_IMMEDIATE] = self.closed_on
        if self.overdue:
            days[Measure.CASES_CLOSED_OVERDUE] = self.closed_on
        counts = Counter[Cell]()
        for measure, day in days.items():
            if day is not None:
                counts[Cell(day, self.area_code, self.department_code, measure)] = 1
        return counts

    def after(self, event: CaseEvent) -> "CaseState":
        """The record once `event` is known; this one stays as it is."""
        state = copy(self)
        match event:
            case CaseSubmitted():
                state.submitted_on = clock.local_date(event.occurred_at)
            case CaseReceived():
                state.received_on = event.received_on
            case CaseAccepted():
                state.accepted_on = event.accepted_on
                state.deemed = event.deemed
            case CaseNotAccepted():
                state.not_accepted_on = clock.local_date(event.occurred_at)
            case CaseDecided():
                state.decided_on = event.decided_on
            case CaseClosed():
                state.closed_on = event.closed_on
                state.overdue = event.overdue
            case CaseWithdrawn():
                state.withdrawn_on = clock.local_date(event.occurred_at)
            case ResultDelivered():
                state.delivered_on = event.delivered_on
            case CaseImported():
                state._take_record(event)
            case _:
                pass
        return state

    def _take_record(self, event: CaseImported) -> None:
        # A bureau may say otherwise in a newer version; a case handled here never changes.
        self.immediate = event.immediate
        self.received_on = event.received_on
        self.accepted_on = event.accepted_on
        self.closed_on = event.closed_on
        self.overdue = event.overdue
