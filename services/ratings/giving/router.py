"""HTTP in and out of ratings: what may be rated, rating it, adding words, reading."""

from uuid import UUID

from fastapi import APIRouter, Request, Response

from services.ratings.access import Config, Handler, id_cursor, office_of
from services.ratings.calendar.dependencies import At, current_moment
from services.ratings.giving.dependencies import CurrentRater, OptionalKey, claim_key
from services.ratings.giving.schemas import InvitationShown, TicketShown
from services.ratings.giving.use_cases import offer as offers
from services.ratings.giving.use_cases import rate, supplement
from services.ratings.invitations.credentials import hotline
from services.ratings.invitations.credentials.attempt import Attempt
from services.ratings.rating import queries
from services.ratings.rating.model.rating import Rating
from services.ratings.rating.schemas import (
    RatingRead,
    SubmitRating,
    SupplementRating,
    TagDictionary,
    TokenText,
)
from services.ratings.rating.views import check_reader, language_of, read_rating, read_tags
from shared.http.dependencies import Db, ReadSession, Session
from shared.http.etags import etag
from shared.http.idempotency import IdempotentRoute
from shared.pagination import Cursor, Limit, Page, page_of
from shared.security.auth import Citizen, CurrentCaller

router = APIRouter(route_class=IdempotentRoute)


@router.get("/tags")
async def list_tags(request: Request) -> TagDictionary:
    """评价指标: what can be said with each grade, and what has been retired."""
    return read_tags(language_of(request))


@router.get("/invitations/{token}")
async def show_invitation(
    token: TokenText, request: Request, session: Session, settings: Config, at: At
) -> InvitationShown:
    """What this token lets its holder rate, and the tags of each grade.

    A window's code is exchanged for a `rating_token`.
    """
    offer = await offers.show_offer(session, token, settings=settings, at=at)
    tags = read_tags(language_of(request))
    shown = InvitationShown(
        stage=offer.stage,
        service_number=offer.service_number,
        area_code=offer.area_code,
        department_code=offer.department_code,
        matter_code=offer.matter_code,
        matter_name=offer.matter_name,
        hall=offer.hall,
        window=offer.window,
        open_until=offer.open_until,
        rated=offer.rated,
        rating_token=offer.rating_token,
        dictionary=tags.dictionary,
        grades=tags.grades,
        contents=tags.contents,
    )
    if offer.ticket is not None:
        shown.ticket = TicketShown(id=offer.ticket.id, state=offer.ticket.state)
    if not offer.rated and offer.open_until < at.today:
        # Only shown: a default grade is never stored as a rating (norms §1.2).
        shown.default_grade = settings.default_grade
    return shown


@router.post("/ratings", status_code=201)
async def submit_rating(
    *,
    command: SubmitRating,
    request: Request,
    response: Response,
    session: Session,
    database: Db,
    rater: CurrentRater,
    settings: Config,
    idempotency_key: OptionalKey = None,
) -> RatingRead:
    """Rate one service event, by any channel.

    Sent again with the same content it answers with the stored rating (201); with another content
    409 `already_rated`. Refusals name the reason: `token_forged`, `token_foreign`, `token_expired`,
    `staff_cannot_rate`.
    """
    # First, while `session` holds no connection: `verify_digits` takes one of its own.
    known_case = await hotline.verify_digits(database, command, rater=rater, settings=settings)
    await claim_key(request, session, command=command, rater=rater, key=idempotency_key)
    at = await current_moment(session)
    attempt = Attempt(session, command, rater, known_case, settings, at)
    rating = await rate.submit_rating(attempt)
    response.headers["etag"] = etag(rating.revision)
    return read_rating(rating, own=True)


@router.get("/ratings/mine")
async def list_mine(
    session: ReadSession, caller: Citizen, limit: Limit = 50, cursor: Cursor = None
) -> Page[RatingRead]:
    """What the caller has said, oldest first."""
    rows = await queries.list_mine(
        session, UUID(caller.subject), after=id_cursor(cursor), limit=limit
    )
    page, next_cursor = page_of(rows, limit, "id")
    # An agent sees only the ratings in matters of the mandate.
    own: list[Rating] = [rating for rating in page if rating.is_of(caller)]
    items = [read_rating(rating, own=True) for rating in own]
    return Page[RatingRead](items=items, next=next_cursor)


@router.get("/ratings/{rating_id}")
async def get_rating(
    rating_id: UUID, session: ReadSession, caller: CurrentCaller, response: Response
) -> RatingRead:
    """One rating, for the rater and, masked, for those who handle ratings of the department."""
    rating = await queries.get_rating(session, rating_id)
    check_reader(rating, caller)
    response.headers["etag"] = etag(rating.revision)
    # Own words are shown as written, anybody else's masked.
    return read_rating(rating, own=rating.is_of(caller))


@router.post("/ratings/{rating_id}/supplements", status_code=201)
async def supplement_rating(
    *,
    rating_id: UUID,
    command: SupplementRating,
    session: Session,
    rater: CurrentRater,
    settings: Config,
    at: At,
) -> RatingRead:
    """追加: add words by the account or the token that rated.

    The same words again change nothing.
    """
    rating = await supplement.supplement_rating(
        session, rating_id, command=command, rater=rater, settings=settings, at=at
    )
    return read_rating(rating, own=True)


@router.get("/suspect-ratings")
async def list_suspect(
    session: ReadSession, handler: Handler, limit: Limit = 50, cursor: Cursor = None
) -> Page[RatingRead]:
    """Ratings of one's department that somebody should look at, with the reasons, oldest first."""
    rows = await queries.list_suspect(
        session, office_of(handler), after=id_cursor(cursor), limit=limit
    )
    page, next_cursor = page_of(rows, limit, "id")
    items = [read_rating(rating, own=False) for rating in page]
    return Page[RatingRead](items=items, next=next_cursor)
