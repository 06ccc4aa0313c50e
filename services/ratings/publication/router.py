"""HTTP in and out of what is public (公开), and the moderation of words."""

import csv
from datetime import date
from io import StringIO
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response

from services.ratings.publication import queries as publication_queries
from services.ratings.publication import use_cases
from services.ratings.publication.model import Publication
from services.ratings.publication.queries import FIRST, PublishedFilter
from services.ratings.publication.schemas import (
    Moderate,
    PublicationRead,
    PublishedRating,
    Rectification,
)
from services.ratings.staff_access import At, Config, Moderator
from services.ratings.statistics import use_cases as statistics
from services.ratings.statistics.queries import Question
from services.ratings.statistics.router import Ask, Month, Value, after_of, earlier, month
from services.ratings.statistics.schemas import PublicStatistics
from services.ratings.statistics.use_cases import Slice
from services.ratings.tickets.queries import tickets
from shared import clock
from shared.errors import FieldError, InvalidInputError
from shared.http.dependencies import ReadSession, Session
from shared.http.etags import IfMatch, etag
from shared.pagination import Cursor, Limit, Page, decode_cursor, encode_cursor

router = APIRouter()

RATES = (
    "participation",
    "good",
    "bad",
    "satisfaction",
    "called_back",
    "rectified",
    "rectified_in_time",
)


def _rating(row: Any) -> PublishedRating:
    """The words only where they may be read."""
    names = (
        "area_code",
        "department_code",
        "matter_code",
        "matter_name",
        "grade",
        "tags",
        "published_on",
    )
    words = [] if row.text_hidden else [one["text"] for one in row.supplements]
    done = None
    if row.rectified_on is not None:
        shared = ("root_cause", "action", "explained", "rectified_on", "in_time", "satisfied")
        done = Rectification(kind=row.plan_class, **{name: getattr(row, name) for name in shared})
    return PublishedRating(
        id=row.id,
        name=row.masked_name,
        **{name: getattr(row, name) for name in names},
        text=None if row.text_hidden else row.masked_text,
        supplements=words,
        text_withheld=row.moderation if row.text_hidden else None,
        month=f"{row.month:%Y-%m}",
        rectification=done,
    )


@router.get("/published", response_model=Page[PublishedRating])
async def list_published(
    session: ReadSession,
    area: Value = None,
    department: Value = None,
    matter: Value = None,
    hall: Value = None,
    window: Value = None,
    channel: Annotated[str | None, Query(pattern=r"^[1-7]$", description="pf")] = None,
    rated: Annotated[Month | None, Query(description="Month of the rating, YYYY-MM")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Any:
    """Ratings with words and bad ones with what was done about them, the newest first.

    A hall is named with its area, a window with its hall.
    """
    before = decode_cursor(cursor, UUID)[0] if cursor else FIRST
    which = PublishedFilter(
        area, department, matter, hall, window, channel, month(rated) if rated else None
    )
    _check_filter(which)
    rows = await publication_queries.list_published(session, which, before, limit)
    following = encode_cursor(rows[limit - 1].place) if len(rows) > limit else None
    return {"items": [_rating(row) for row in rows[:limit]], "next": following}


def _check_filter(which: PublishedFilter) -> None:
    """400 for a hall or window without what it is part of: no index leads to it."""
    faults: list[FieldError] = []
    if which.window is not None and which.hall is None:
        faults.append(FieldError("hall", "required", "a window is named within its hall"))
    if (which.hall or which.window) is not None and which.area_code is None:
        faults.append(
            FieldError("area", "narrow", "halls and windows are told apart within one area")
        )
    if faults:
        raise InvalidInputError("ratings are not listed by this", faults)


def _published(asked: Ask) -> Question:
    """Months that are over: while one runs, a figure could be watched growing by one rating."""
    newest = earlier(clock.local_date(clock.now()).replace(day=1), 1)
    question = asked.question(newest)
    if question.last > newest:
        raise InvalidInputError(
            "not published yet", [FieldError("last", "over", f"at most {newest:%Y-%m}")]
        )
    return question


@router.get("/published/statistics", response_model=PublicStatistics)
async def get_public_statistics(
    asked: Ask, session: ReadSession, settings: Config, limit: Limit = 50, cursor: Cursor = None
) -> Any:
    """Rates by one or two dimensions; figures of fewer than ten ratings are left out of groups and totals alike."""
    question = _published(asked)
    part = Slice(after_of(cursor, question), limit)
    return await statistics.show_public_figures(session, question, settings.ranking_minimum, part)


@router.get(
    "/published/statistics.csv",
    response_class=Response,
    responses={200: {"content": {"text/csv": {}}}},
)
async def export_public_statistics(asked: Ask, session: ReadSession, settings: Config) -> Response:
    """The same figures as a table, whole."""
    question = _published(asked)
    found = await statistics.show_public_figures(session, question, settings.ranking_minimum)
    sheet = StringIO()
    writer = csv.writer(sheet)
    parts = ("numerator", "denominator", "value")
    grades = [f"grade_{grade}" for grade in range(1, 6)]
    writer.writerow(
        [
            *question.group_by,
            "rated",
            *grades,
            *(f"{rate}_{part}" for rate in RATES for part in parts),
        ]
    )
    for group in found.groups:
        figures = group.figures
        numbers = [] if figures is None else [figures.rated, *figures.grades.values()]
        if figures is not None:
            numbers += [getattr(getattr(figures, rate), part) for rate in RATES for part in parts]
        writer.writerow([*(_cell(value) for value in group.group.values()), *numbers])
    return Response("\ufeff" + sheet.getvalue(), media_type="text/csv; charset=utf-8")


def _cell(value: str) -> str:
    """A spreadsheet must not take a name for a formula."""
    return f"'{value}" if value[:1] in {"=", "+", "-", "@", "\t"} else value


async def _read(session: Any, found: Publication, response: Response) -> PublicationRead:
    rating = await tickets.get_rating(session, found.rating_id)
    response.headers["etag"] = etag(found.revision)
    names = (
        "rating_id",
        "revision",
        "area_code",
        "department_code",
        "due_on",
        "text_hidden",
        "moderation",
    )
    published: date | None = rating.published_on
    values = {name: getattr(found, name) for name in names}
    return PublicationRead(**values, text=rating.masked_text, published_on=published)


@router.get("/publications/{rating_id}", response_model=PublicationRead)
async def get_publication(
    rating_id: UUID, session: ReadSession, moderator: Moderator, response: Response
) -> Any:
    """How it stands with a rating's publication."""
    found = await publication_queries.get_publication(session, rating_id)
    use_cases.check_moderator(found, moderator)
    return await _read(session, found, response)


@router.post("/publications/{rating_id}/moderation", response_model=PublicationRead)
async def moderate_text(
    rating_id: UUID,
    command: Moderate,
    session: Session,
    moderator: Moderator,
    expected: IfMatch,
    at: At,
    response: Response,
) -> Any:
    """Take words from view with a coded reason, or restore them. Grade, tags and counts stay."""
    found = await use_cases.moderate_text(session, rating_id, command, expected, moderator, at)
    return await _read(session, found, response)
