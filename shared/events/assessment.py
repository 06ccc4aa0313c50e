"""Facts of the assessment service."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any
from uuid import UUID

from shared.events.base import Event

OF_RATINGS = ("ratings_", "bad_ratings_")
"""Prefixes of measures that count ratings.

Exact daily numbers of ratings add up to what published statistics hide (docs/adr/0010).
"""


def without_ratings(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of a report as everybody may see them.

    A department that had nothing but ratings is not named at all.
    """
    cut = [{**row, "figures": unrated(row["figures"])} for row in rows]
    return [row for row in cut if any(row["figures"].values())]


def unrated(figures: Mapping[str, int]) -> dict[str, int]:
    """These figures but for those of ratings."""
    return {
        measure: value for measure, value in figures.items() if not measure.startswith(OF_RATINGS)
    }


class DailyReportPublished(Event, service="assessment", fact="daily-report-published"):
    """A day's report was published (日发布), or corrected.

    `revision` 1 is the publication, later ones have a `reason`. `figures` is the whole report, a
    row per department, so that a report outlives the database that made it.
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
