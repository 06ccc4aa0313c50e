"""HTTP in and out of appeals (申诉复核)."""

from uuid import UUID

from fastapi import APIRouter, Response

from services.ratings.access import (
    AppealReader,
    Auditor,
    Config,
    HandlerAct,
    Reviewer,
    ReviewerAct,
    area_scope,
    due_cursor,
)
from services.ratings.model_base import Role
from services.ratings.tickets.queries import appeals
from services.ratings.tickets.schemas.appeals import (
    AppealRead,
    ExcludedRead,
    MakeAppeal,
    ReviewAppeal,
)
from services.ratings.tickets.use_cases import appeals as handling
from services.ratings.tickets.views import read_appeal
from shared.errors import NotFoundError
from shared.http.dependencies import ReadSession
from shared.http.etags import etag
from shared.pagination import Cursor, Limit, Page, page_of

router = APIRouter()


@router.post("/tickets/{ticket_id}/appeal", status_code=201)
async def make_appeal(ticket_id: UUID, command: MakeAppeal, act: HandlerAct) -> AppealRead:
    """申诉: the department holds the rating to be a mistake or malicious."""
    appeal = await handling.make_appeal(act, ticket_id, command=command)
    act.headers["etag"] = etag(appeal.revision)
    return read_appeal(appeal)


@router.get("/appeals")
async def list_appeals(
    session: ReadSession,
    reviewer: Reviewer,
    settings: Config,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[AppealRead]:
    """Appeals that wait for a reviewer, the most urgent first; not of one's own department."""
    rows = await appeals.list_pending(
        session,
        area=area_scope(reviewer, settings),
        department=reviewer.department or "",
        after=due_cursor(cursor),
        limit=limit,
    )
    page, next_cursor = page_of(rows, limit, "review_due_on", "id")
    return Page[AppealRead](items=[read_appeal(appeal) for appeal in page], next=next_cursor)


@router.get("/appeals/{appeal_id}")
async def get_appeal(
    appeal_id: UUID,
    session: ReadSession,
    caller: AppealReader,
    settings: Config,
    response: Response,
) -> AppealRead:
    """One appeal, for the department and for its reviewers."""
    appeal = await appeals.get_appeal(session, appeal_id)
    is_handler = bool({Role.RATING_HANDLER, Role.DEPARTMENT_HEAD} & caller.roles)
    is_own = is_handler and appeal.office == (caller.area, caller.department)
    if not is_own and not handling.may_review(appeal, caller, city=settings.city.code):
        raise NotFoundError("no such appeal of yours")
    response.headers["etag"] = etag(appeal.revision)
    return read_appeal(appeal)


@router.post("/appeals/{appeal_id}/reviews")
async def review_appeal(
    appeal_id: UUID, command: ReviewAppeal, act: ReviewerAct, settings: Config
) -> AppealRead:
    """复核 by one of two; the second agreement excludes the rating."""
    appeal = await handling.review_appeal(act, appeal_id, command=command, city=settings.city.code)
    act.headers["etag"] = etag(appeal.revision)
    return read_appeal(appeal)


@router.get("/excluded")
async def list_excluded(
    session: ReadSession,
    auditor: Auditor,
    settings: Config,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ExcludedRead]:
    """Ratings left out of the rates after appeals, for auditors of the area."""
    rows = await appeals.list_excluded(
        session, area=area_scope(auditor, settings), after=due_cursor(cursor), limit=limit
    )
    page, next_cursor = page_of(rows, limit, "excluded_on", "id")
    items = [ExcludedRead.model_validate(rating) for rating in page]
    return Page[ExcludedRead](items=items, next=next_cursor)
