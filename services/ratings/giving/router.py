"""HTTP in and out of ratings."""

import hashlib
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Request, Response

from services.ratings.access import (
    At,
    Config,
    Db,
    Handler,
    Rater,
    check_reader,
    is_own,
    language_of,
    moment,
    place_of,
    read_rating,
    read_tags,
)
from services.ratings.giving.use_cases import rate, supplement
from services.ratings.invitations.credentials import find
from services.ratings.rating import queries as rating_queries
from services.ratings.rating.schemas import (
    RatingRead,
    SubmitRating,
    SupplementRating,
    TagDictionary,
)
from shared import clock
from shared.errors import FieldError, InvalidInputError
from shared.http.dependencies import ReadSession, Session
from shared.http.etags import etag
from shared.http.idempotency import MAX_KEY, Claim, IdempotentRoute
from shared.pagination import Cursor, Limit, Page, decode_cursor, page_of
from shared.security.auth import Citizen, CurrentCaller

router = APIRouter(route_class=IdempotentRoute)
FIRST = UUID(int=0)
Key = Annotated[
    str | None, Header(description="Optional: a rating has its natural key in what it rates")
]


@router.get("/tags", response_model=TagDictionary)
async def list_tags(request: Request) -> Any:
    """评价指标: what can be said with each grade, and what has been retired."""
    return read_tags(language_of(request))


async def _claim(
    request: Request, session: Session, rater: Rater, command: SubmitRating, key: str | None
) -> None:
    """As `shared.http.idempotency.claim_key`, for whoever has no account: the token stands for her."""
    if key is None:
        return
    if not 0 < len(key) <= MAX_KEY or not key.isprintable():
        fault = FieldError(
            "Idempotency-Key", "form", f"1 to {MAX_KEY} printable characters, or none"
        )
        raise InvalidInputError("the Idempotency-Key has faults", [fault])
    credential = hashlib.sha256((command.token or "").encode()).hexdigest()
    claim = Claim(session, rater.caller.subject if rater.caller else f"token/{credential}", key)
    await claim.take(hashlib.sha256(command.model_dump_json().encode()).digest())
    request.state.claim = claim


@router.post("/ratings", response_model=RatingRead, status_code=201)
async def submit_rating(
    command: SubmitRating,
    request: Request,
    response: Response,
    session: Session,
    database: Db,
    rater: Rater,
    settings: Config,
    idempotency_key: Key = None,
) -> Any:
    """Rate one service event, by any channel. Sent again with the same content it answers with the stored rating (201); with

    another content 409 `already_rated`. Refusals name the reason: `token_forged`, `token_foreign`, `token_expired`,
    `staff_cannot_rate`.
    """
    # First of all: `session` holds no connection yet, and `At` would take one.
    await find.prove_case(database, command, rater, settings, clock.local_date(clock.now()))
    await _claim(request, session, rater, command, idempotency_key)
    rating = await rate.submit_rating(session, command, rater, settings, await moment(session))
    response.headers["etag"] = etag(rating.revision)
    return read_rating(rating, own=True)


@router.get("/ratings/mine", response_model=Page[RatingRead])
async def list_mine(
    session: ReadSession, caller: Citizen, limit: Limit = 50, cursor: Cursor = None
) -> Any:
    """What the caller has said, oldest first."""
    after = decode_cursor(cursor, UUID)[0] if cursor else FIRST
    rows = await rating_queries.list_mine(session, UUID(caller.subject), after, limit)
    items, following = page_of(rows, limit, "id")
    return {
        "items": [read_rating(one, own=True) for one in items if is_own(one, caller)],
        "next": following,
    }


@router.get("/ratings/{rating_id}", response_model=RatingRead)
async def get_rating(
    rating_id: UUID, session: ReadSession, caller: CurrentCaller, response: Response
) -> Any:
    """One rating, for the rater and, masked, for those who handle ratings of the department."""
    rating = await rating_queries.get_rating(session, rating_id)
    check_reader(rating, caller)
    response.headers["etag"] = etag(rating.revision)
    return read_rating(rating, own=is_own(rating, caller))


@router.post("/ratings/{rating_id}/supplements", response_model=RatingRead, status_code=201)
async def supplement_rating(
    rating_id: UUID,
    command: SupplementRating,
    session: Session,
    rater: Rater,
    settings: Config,
    at: At,
) -> Any:
    """追加: add words by the account or the token that rated. The same words again change nothing."""
    rating = await supplement.supplement_rating(session, rating_id, command, rater, settings, at)
    return read_rating(rating, own=True)


@router.get("/suspect-ratings", response_model=Page[RatingRead])
async def list_suspect(
    session: ReadSession, handler: Handler, limit: Limit = 50, cursor: Cursor = None
) -> Any:
    """Ratings of one's department at which somebody should look, with the reasons, oldest first."""
    after = decode_cursor(cursor, UUID)[0] if cursor else FIRST
    rows = await rating_queries.list_suspect(session, *place_of(handler), after, limit)
    items, following = page_of(rows, limit, "id")
    return {"items": [read_rating(one, own=False) for one in items], "next": following}
