"""HTTP in and out of what is public (公开), and the moderation of words."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.access import Config, Moderator, ModeratorAct
from services.ratings.publication import queries, use_cases
from services.ratings.publication.model import Publication
from services.ratings.publication.queries import FIRST, PublishedFilter
from services.ratings.publication.schemas import Moderate, PublicationRead, PublishedRating
from services.ratings.publication.views import (
    public_figures_csv,
    read_publication,
    read_published,
)
from services.ratings.rating.queries import get_rating
from services.ratings.statistics import use_cases as statistics
from services.ratings.statistics.queries import Question
from services.ratings.statistics.router import (
    Asked,
    Channel,
    Month,
    QuestionInQuery,
    Value,
    first_day_of,
    months_before,
    slice_of,
)
from services.ratings.statistics.schemas import PublicStatistics
from shared import clock
from shared.errors import FieldError, InvalidInputError
from shared.http.dependencies import ReadSession
from shared.http.etags import etag
from shared.pagination import Cursor, Limit, Page, decode_cursor, encode_cursor

router = APIRouter()

BYTE_ORDER_MARK = "\ufeff"
"""By it spreadsheets know UTF-8."""


@router.get("/published")
async def list_published(
    *,
    session: ReadSession,
    area: Value = None,
    department: Value = None,
    matter: Value = None,
    hall: Value = None,
    window: Value = None,
    channel: Channel = None,
    rated: Annotated[Month | None, Query(description="Month of the rating, YYYY-MM")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[PublishedRating]:
    """Ratings with words, and bad ones with what was done about them, the newest first.

    A hall is named with its area, a window with its hall.
    """
    before: UUID = FIRST
    if cursor is not None:
        before = decode_cursor(cursor, UUID)[0]
    month = None
    if rated is not None:
        month = first_day_of(rated)
    which = PublishedFilter(
        area_code=area,
        department_code=department,
        matter_code=matter,
        hall=hall,
        window=window,
        pf=channel,
        month=month,
    )
    _check_filter(which)
    rows = await queries.list_published(session, which, before=before, limit=limit)
    next_cursor = None
    if len(rows) > limit:
        next_cursor = encode_cursor(rows[limit - 1].place)
    return Page[PublishedRating](
        items=[read_published(row) for row in rows[:limit]], next=next_cursor
    )


def _check_filter(which: PublishedFilter) -> None:
    """Raise `InvalidInputError` for a hall or window without what it is part of.

    No index leads to it.
    """
    errors: list[FieldError] = []
    if which.window is not None and which.hall is None:
        errors.append(FieldError("hall", "required", message="a window is named within its hall"))
    if (which.hall or which.window) is not None and which.area_code is None:
        errors.append(
            FieldError("area", "narrow", message="halls and windows are told apart within one area")
        )
    if errors:
        raise InvalidInputError("ratings are not listed by this", errors)


def _finished_months(asked: QuestionInQuery) -> Question:
    """The question about months that are over; raises `InvalidInputError` for later ones.

    While a month runs, a figure could be watched growing by one rating.
    """
    # The figures of a month that is over change only by appeals and rectifications.
    newest = months_before(clock.local_date(clock.now()), 1)
    question = asked.question(newest)
    if question.last > newest:
        error = FieldError("last", "over", message="at most {month}", month=f"{newest:%Y-%m}")
        raise InvalidInputError("not published yet", [error])
    return question


@router.get("/published/statistics")
async def get_public_statistics(
    asked: Asked, session: ReadSession, settings: Config, limit: Limit = 50, cursor: Cursor = None
) -> PublicStatistics:
    """Rates by one or two dimensions.

    Figures of fewer than ten ratings are left out of groups and totals alike.
    """
    question = _finished_months(asked)
    part = slice_of(cursor, question, limit=limit)
    return await statistics.show_public_figures(
        session, question, least=settings.ranking_minimum, part=part
    )


@router.get(
    "/published/statistics.csv",
    response_class=Response,
    responses={200: {"content": {"text/csv": {}}}},
)
async def export_public_statistics(
    asked: Asked, session: ReadSession, settings: Config
) -> Response:
    """The same figures as a table, whole."""
    question = _finished_months(asked)
    found = await statistics.show_public_figures(session, question, least=settings.ranking_minimum)
    sheet = BYTE_ORDER_MARK + public_figures_csv(found, question.group_by)
    return Response(sheet, media_type="text/csv; charset=utf-8")


async def _read(session: AsyncSession, publication: Publication) -> PublicationRead:
    rating = await get_rating(session, publication.rating_id)
    return read_publication(publication, rating)


@router.get("/publications/{rating_id}")
async def get_publication(
    rating_id: UUID, session: ReadSession, moderator: Moderator, response: Response
) -> PublicationRead:
    """How it stands with a rating's publication."""
    publication = await queries.get_publication(session, rating_id)
    use_cases.check_moderator(publication, moderator)
    response.headers["etag"] = etag(publication.revision)
    return await _read(session, publication)


@router.post("/publications/{rating_id}/moderation")
async def moderate_text(rating_id: UUID, command: Moderate, act: ModeratorAct) -> PublicationRead:
    """Take words from view with a coded reason, or restore them. Grade, tags and counts stay."""
    publication = await use_cases.moderate_text(act, rating_id, command=command)
    act.headers["etag"] = etag(publication.revision)
    return await _read(act.session, publication)
