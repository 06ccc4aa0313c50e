"""A day as it was published."""

from datetime import date, datetime
from typing import Self
from uuid import UUID

from sqlalchemy import Date, DateTime, Integer, Text, UniqueConstraint, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from services.assessment.model.base import Base
from shared.database.columns import StoredModel, json_column
from shared.events.assessment import DailyReportPublished


class DepartmentRow(StoredModel):
    """One department's figures of a day, by the name of the measure.

    An old report may have measures that are counted no more, so the names are plain text.
    """

    area_code: str
    department_code: str
    figures: dict[str, int]


class DailyReport(Base):
    """A published report, frozen; a correction is a further revision with its reason."""

    __tablename__ = "daily_report"
    __table_args__ = (UniqueConstraint("day", "revision"),)

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    day: Mapped[date] = mapped_column(Date)
    revision: Mapped[int] = mapped_column(Integer)
    figures: Mapped[list[DepartmentRow]] = json_column(list[DepartmentRow])
    reason: Mapped[str | None] = mapped_column(Text)
    published_by: Mapped[str] = mapped_column(Text)
    published_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))

    def published(self) -> DailyReportPublished:
        """The fact that tells of this revision."""
        return DailyReportPublished(
            report_id=self.id,
            day=self.day,
            figures=[row.model_dump() for row in self.figures],
            reason=self.reason,
            published_by=self.published_by,
            published_at=self.published_at,
            revision=self.revision,
            occurred_at=self.published_at,
        )

    @classmethod
    def from_event(cls, event: DailyReportPublished) -> Self:
        """The revision that the fact tells of."""
        return cls(
            id=event.report_id,
            day=event.day,
            revision=event.revision,
            figures=[DepartmentRow.model_validate(row) for row in event.figures],
            reason=event.reason,
            published_by=event.published_by,
            published_at=event.published_at,
        )
