"""Commands and answers of assessment."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field

from services.assessment.model.base import Measure
from services.assessment.model.reports import DailyReport, DepartmentRow
from shared.events.assessment import unrated
from shared.fields import Reason

ZERO_FIGURES: dict[str, int] = {measure.value: 0 for measure in Measure}


class CorrectReport(BaseModel):
    """Why a published day gets another revision."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason


class DepartmentFigures(BaseModel):
    """One department's figures of the day; every measure that the caller may see, zero included."""

    area_code: str
    department_code: str
    figures: dict[str, int]


class DailyReportRead(BaseModel):
    """日报: figures per department, per area, and in all.
    `revision` 0: not published, live figures.

    Figures of ratings are for staff: a month of exact days would tell the figures that the
    publication of ratings hides (docs/adr/0010).
    """

    day: date
    revision: int
    published_at: datetime | None = None
    reason: str | None = None
    totals: dict[str, int]
    areas: dict[str, dict[str, int]] = Field(description="Totals by area code")
    departments: list[DepartmentFigures]

    @classmethod
    def live(cls, day: date, rows: Sequence[DepartmentRow]) -> Self:
        """The present figures of a day."""
        sums = _sum_up(rows)
        return cls(
            day=day,
            revision=0,
            totals=sums.totals,
            areas=sums.areas,
            departments=sums.departments,
        )

    @classmethod
    def published(cls, report: DailyReport) -> Self:
        """A revision as it was published."""
        sums = _sum_up(report.figures)
        return cls(
            day=report.day,
            revision=report.revision,
            published_at=report.published_at,
            reason=report.reason,
            totals=sums.totals,
            areas=sums.areas,
            departments=sums.departments,
        )

    def only(self, area: str | None, *, department: str | None) -> Self:
        """The part of one area or department, with sums over that part."""
        rows: list[DepartmentRow] = []
        for row in self.departments:
            if area in {None, row.area_code} and department in {None, row.department_code}:
                rows.append(
                    DepartmentRow(
                        area_code=row.area_code,
                        department_code=row.department_code,
                        figures=row.figures,
                    )
                )
        sums = _sum_up(rows)
        # Departments keep the measures they have here: figures of ratings may be cut already.
        departments = [_department(row, row.figures) for row in rows]
        return self.model_copy(
            update={"totals": sums.totals, "areas": sums.areas, "departments": departments}
        )

    def without_ratings(self) -> Self:
        """What everybody may see of it: no figure of ratings, in no sum.

        A department that had nothing but ratings is not named at all.
        """
        departments: list[DepartmentFigures] = []
        for row in self.departments:
            figures = unrated(row.figures)
            if any(figures.values()):
                departments.append(row.model_copy(update={"figures": figures}))
        areas_left = {row.area_code for row in departments}
        areas: dict[str, dict[str, int]] = {}
        for area, figures in self.areas.items():
            if area in areas_left:
                areas[area] = unrated(figures)
        return self.model_copy(
            update={"totals": unrated(self.totals), "areas": areas, "departments": departments}
        )


class RevisionRead(BaseModel):
    """One revision of a published day."""

    revision: int
    reason: str | None
    published_by: str
    published_at: datetime


class _Sums(NamedTuple):
    totals: dict[str, int]
    areas: dict[str, dict[str, int]]
    departments: list[DepartmentFigures]


def _department(row: DepartmentRow, figures: dict[str, int]) -> DepartmentFigures:
    return DepartmentFigures(
        area_code=row.area_code, department_code=row.department_code, figures=figures
    )


def _sum_up(rows: Sequence[DepartmentRow]) -> _Sums:
    """Totals in all and by area, with every measure.

    Measures that are counted no more, as an old report may have them, are left out.
    """
    totals = dict(ZERO_FIGURES)
    areas: dict[str, dict[str, int]] = {}
    departments: list[DepartmentFigures] = []
    for row in rows:
        area = areas.setdefault(row.area_code, dict(ZERO_FIGURES))
        figures = dict(ZERO_FIGURES)
        for measure, value in row.figures.items():
            if measure in figures:
                figures[measure] = value
                totals[measure] += value
                area[measure] += value
        departments.append(_department(row, figures))
    return _Sums(totals, areas, departments)
