"""How published ratings and figures are shown."""

import csv
from collections.abc import Sequence
from io import StringIO

from services.ratings.publication.model import Publication
from services.ratings.publication.queries import PublishedRow
from services.ratings.publication.schemas import (
    PublicationRead,
    PublishedRating,
    Rectification,
)
from services.ratings.rating.model.rating import Rating
from services.ratings.statistics.queries import Dimension
from services.ratings.statistics.schemas import Figures, PublicStatistics, Rate

GRADE_HEADINGS = ("grade_1", "grade_2", "grade_3", "grade_4", "grade_5")
RATE_HEADINGS = (
    "participation",
    "good",
    "bad",
    "satisfaction",
    "called_back",
    "rectified",
    "rectified_in_time",
)
FORMULA_SIGNS = frozenset("=+-@\t")


def _read_rectification(row: PublishedRow) -> Rectification | None:
    if row.rectified_on is None:
        return None
    return Rectification(
        root_cause=row.root_cause,
        action=row.action,
        explained=bool(row.explained),
        kind=row.plan_class,
        rectified_on=row.rectified_on,
        in_time=row.in_time,
        satisfied=row.satisfied,
    )


def read_published(row: PublishedRow) -> PublishedRating:
    """The words only where they may be read."""
    text = None
    supplements: list[str] = []
    withheld = row.moderation
    # Hidden words stay stored: a restored publication shows them again.
    if not row.text_hidden:
        text = row.masked_text
        supplements = [supplement.text for supplement in row.supplements]
        withheld = None
    return PublishedRating(
        id=row.id,
        name=row.masked_name,
        area_code=row.area_code,
        department_code=row.department_code,
        matter_code=row.matter_code,
        matter_name=row.matter_name,
        grade=row.grade,
        tags=row.tags,
        text=text,
        supplements=supplements,
        text_withheld=withheld,
        month=f"{row.month:%Y-%m}",
        published_on=row.published_on,
        rectification=_read_rectification(row),
    )


def read_publication(publication: Publication, rating: Rating) -> PublicationRead:
    return PublicationRead(
        rating_id=publication.rating_id,
        revision=publication.revision,
        area_code=publication.area_code,
        department_code=publication.department_code,
        text=rating.masked_text,
        due_on=publication.due_on,
        published_on=rating.published_on,
        text_hidden=publication.text_hidden,
        moderation=publication.moderation,
    )


def _rates(figures: Figures) -> Sequence[Rate]:
    """In the order of `RATE_HEADINGS`."""
    return (
        figures.participation,
        figures.good,
        figures.bad,
        figures.satisfaction,
        figures.called_back,
        figures.rectified,
        figures.rectified_in_time,
    )


def _safe_cell(value: str) -> str:
    """A spreadsheet must not take a name for a formula."""
    if value[:1] in FORMULA_SIGNS:
        return f"'{value}"
    return value


def public_figures_csv(found: PublicStatistics, group_by: Sequence[Dimension]) -> str:
    """The figures as a table with one row per group; withheld figures are left empty."""
    headings: list[str] = [*group_by, "rated", *GRADE_HEADINGS]
    for rate in RATE_HEADINGS:
        headings += [f"{rate}_numerator", f"{rate}_denominator", f"{rate}_value"]
    sheet = StringIO()
    writer = csv.writer(sheet)
    writer.writerow(headings)
    for group in found.groups:
        cells: list[str | int | float | None] = [
            _safe_cell(value) for value in group.group.values()
        ]
        # A withheld group has its name and empty cells, as the answer in JSON has.
        if group.figures is not None:
            cells += [group.figures.rated, *group.figures.grades.values()]
            for rate in _rates(group.figures):
                cells += [rate.numerator, rate.denominator, rate.value]
        writer.writerow(cells)
    return sheet.getvalue()
