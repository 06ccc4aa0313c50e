"""HTTP in and out of appeals (申诉复核)."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response

from services.ratings.staff_access import (
    AppealReader,
    At,
    Auditor,
    Config,
    Handler,
    Reviewer,
    due_cursor,
)
from services.ratings.tickets.model.appeal import Appeal
from services.ratings.tickets.queries import appeals
from services.ratings.tickets.schemas.appeals import (
    AppealRead,
    ExcludedRead,
    MakeAppeal,
    ReviewAppeal,
)
from services.ratings.tickets.use_cases import appeals as use_cases_appeals
from shared.errors import NotFoundError
from shared.http.dependencies import ReadSession, Session
from shared.http.etags import IfMatch, etag
from shared.pagination import Cursor, Limit, Page, page_of

router = APIRouter()
FIRST = UUID(int=0)


def _values(appeal: Appeal) -> dict[str, Any]:
    names = [name for name in AppealRead.model_fields if name != "agreements"]
    return {**{name: getattr(appeal, name) for name in names}, "agreements": len(appeal.agreed)}


def _read(appeal: Appeal, response: Response) -> dict[str, Any]:
    response.headers["etag"] = etag(appeal.revision)
    return _values(appeal)


@router.post("/tickets/{ticket_id}/appeal", response_model=AppealRead, status_code=201)
async def make_appeal(
    ticket_id: UUID,
    command: MakeAppeal,
    session: Session,
    handler: Handler,
    expected: IfMatch,
    at: At,
    response: Response,
) -> Any:
    """申诉: the department holds the rating to be a mistake or malicious."""
    return _read(
        await use_cases_appeals.make_appeal(session, ticket_id, command, expected, handler, at),
        response,
    )


@router.get("/appeals", response_model=Page[AppealRead])
async def list_appeals(
    session: ReadSession,
    reviewer: Reviewer,
    settings: Config,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Any:
    """Appeals that wait for a reviewer, the most urgent first; not those of one's own department."""
    after = due_cursor(cursor)
    area = None if reviewer.area == settings.city_code else reviewer.area or ""
    rows = await appeals.list_pending(session, area, reviewer.department or "", after, limit)
    page, following = page_of(rows, limit, "review_due_on", "id")
    return {"items": [_values(appeal) for appeal in page], "next": following}


@router.get("/appeals/{appeal_id}", response_model=AppealRead)
async def get_appeal(
    appeal_id: UUID,
    session: ReadSession,
    caller: AppealReader,
    settings: Config,
    response: Response,
) -> Any:
    """One appeal, for the department and for its reviewers."""
    appeal = await appeals.get_appeal(session, appeal_id)
    own = caller.roles & {"rating_handler", "department_head"}
    place = (appeal.area_code, appeal.department_code) == (caller.area, caller.department)
    if not (own and place) and not use_cases_appeals.may_review(appeal, caller, settings.city_code):
        raise NotFoundError("no such appeal of yours")
    return _read(appeal, response)


@router.post("/appeals/{appeal_id}/reviews", response_model=AppealRead)
async def review_appeal(
    appeal_id: UUID,
    command: ReviewAppeal,
    session: Session,
    reviewer: Reviewer,
    settings: Config,
    expected: IfMatch,
    at: At,
    response: Response,
) -> Any:
    """复核 by one of two; the second agreement excludes the rating."""
    city = settings.city_code
    return _read(
        await use_cases_appeals.review_appeal(
            session, appeal_id, command, expected, reviewer, city, at
        ),
        response,
    )


@router.get("/excluded", response_model=Page[ExcludedRead])
async def list_excluded(
    session: ReadSession,
    auditor: Auditor,
    settings: Config,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Any:
    """Ratings left out of the rates after appeals, for auditors of the area."""
    after = due_cursor(cursor)
    area = None if auditor.area == settings.city_code else auditor.area or ""
    rows = await appeals.list_excluded(session, area, after, limit)
    page, following = page_of(rows, limit, "excluded_on", "id")
    return {"items": page, "next": following}
