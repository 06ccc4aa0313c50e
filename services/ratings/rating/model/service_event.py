"""The service event that somebody is invited to rate."""

from enum import StrEnum
from typing import TypedDict
from uuid import UUID

from sqlalchemy import SmallInteger, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from services.ratings.model_base import OfOffice
from shared.database.columns import enum_column
from shared.events import ratings as events


class Stage(StrEnum):
    """What kind of service it was."""

    ACCEPTANCE = "acceptance"
    CLOSING = "closing"
    VISIT = "visit"


class ServiceFacts(TypedDict):
    """What every event of this service tells of a service event."""

    case_id: UUID | None
    case_number: str | None
    service_number: int
    stage: events.Stage
    area_code: str
    department_code: str
    matter_id: UUID | None
    matter_code: str | None
    matter_name: str | None
    hall: str | None
    window: str | None


class ServiceEvent(OfOffice):
    """Columns that an invitation and the rating given by it have in common.

    A service event is (`case_number`, `service_number`) of a case, or a visit to a window.
    """

    stage: Mapped[Stage] = enum_column(Stage)
    case_id: Mapped[UUID | None] = mapped_column(Uuid)
    case_number: Mapped[str | None] = mapped_column(Text)
    service_number: Mapped[int] = mapped_column(SmallInteger)
    matter_id: Mapped[UUID | None] = mapped_column(Uuid)
    matter_code: Mapped[str | None] = mapped_column(Text)
    matter_name: Mapped[str | None] = mapped_column(Text)
    hall: Mapped[str | None] = mapped_column(Text)
    window: Mapped[str | None] = mapped_column(Text)

    def service_facts(self) -> ServiceFacts:
        return {
            "case_id": self.case_id,
            "case_number": self.case_number,
            "service_number": self.service_number,
            "stage": self.stage.value,
            "area_code": self.area_code,
            "department_code": self.department_code,
            "matter_id": self.matter_id,
            "matter_code": self.matter_code,
            "matter_name": self.matter_name,
            "hall": self.hall,
            "window": self.window,
        }
