"""Facts of the assessment service."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from shared.events.base import Event


class DailyReportPublished(Event, service="assessment", fact="daily-report-published"):
    """A day's report is public (日发布), or corrected: `revision` 1 is the publication, later ones have a `reason`.

    `figures` are all of it, a row per department, so that a report outlives the database that made it.
    """

    report_id: UUID
    day: date
    figures: list[dict[str, Any]]
    reason: str | None
    published_by: str
    published_at: datetime

    @property
    def key(self) -> str:
        return self.day.isoformat()
