"""Commands and answers of assessment."""

from datetime import date, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from services.assessment.model.base import MEASURES
from services.assessment.model.reports import DailyReport
from shared.events.assessment import unrated, without_ratings
from shared.fields import Reason


class CorrectReport(BaseModel):
    """Why a published day gets another revision."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason


class DepartmentFigures(BaseModel):
    """One department's figures of the day; every measure that the caller may see is there, zero included."""

    area_code: str
    department_code: str
    figures: dict[str, int]


class DailyReportRead(BaseModel):
    """日报: figures per department, per area, and in all. `revision` 0 means not published yet (live figures).

    What ratings come to is for staff: a month of exact days would tell the figures that ratings' own publication hides.
    """

    day: date
    revision: int
    published_at: datetime | None = None
    reason: str | None = None
    totals: dict[str, int]
    areas: dict[str, dict[str, int]] = Field(description="Totals by area code")
    departments: list[DepartmentFigures]

    @classmethod
    def live(cls, day: date, rows: list[dict[str, Any]]) -> "DailyReportRead":
        return cls(day=day, revision=0, **_summed(rows))

    @classmethod
    def published(cls, report: DailyReport) -> "DailyReportRead":
        return cls(
            day=report.day,
            revision=report.revision,
            published_at=report.published_at,
            reason=report.reason,
            **_summed(report.figures),
        )

    def only(self, area: str | None, department: str | None) -> "DailyReportRead":
        """The part of one area or department."""
        rows = [
            row.model_dump()
            for row in self.departments
            if area in {None, row.area_code} and department in {None, row.department_code}
        ]
        return self.model_copy(
            update=DailyReportRead.live(self.day, rows).model_dump(include={"totals", "areas"})
        ).model_copy(update={"departments": [DepartmentFigures(**row) for row in rows]})

    def without_ratings(self) -> "DailyReportRead":
        """What everybody may see of it: no figure of ratings, in no sum."""
        rows = without_ratings(row.model_dump() for row in self.departments)
        left = {row["area_code"] for row in rows}
        return self.model_copy(
            update={
                "totals": unrated(self.totals),
                "areas": {
                    area: unrated(figures) for area, figures in self.areas.items() if area in left
                },
                "departments": [DepartmentFigures(**row) for row in rows],
            }
        )


class RevisionRead(BaseModel):
    """One revision of a published day."""

    model_config = ConfigDict(from_attributes=True)

    revision: int
    reason: str | None
    published_by: str
    published_at: datetime


NOTHING = dict.fromkeys(MEASURES, 0)


def _summed(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Totals in all and by area, with every measure. Plain loops: a report has ten thousand figures."""
    totals, areas, departments = dict(NOTHING), dict[str, dict[str, int]](), list[dict[str, Any]]()
    for row in rows:
        figures: dict[str, int] = row["figures"]
        if (
            not figures.keys() <= NOTHING.keys()
        ):  # a report of old can have measures that are no more
            figures = {measure: figures[measure] for measure in figures.keys() & NOTHING.keys()}
        area = areas.setdefault(row["area_code"], dict(NOTHING))
        for measure, value in figures.items():
            totals[measure] += value
            area[measure] += value
        departments.append({**row, "figures": NOTHING | figures})
    return {"totals": totals, "areas": areas, "departments": departments}
