"""A day as it was published."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Date, DateTime, Integer, Text, UniqueConstraint, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.assessment.model.base import Base
from shared.events.assessment import DailyReportPublished


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
