"""HTTP in and out of keys and pre-issued tokens."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response

from services.ratings.access import At, Config, Orderer, place_of, same_place
from services.ratings.invitations.credentials import printed_token
from services.ratings.invitations.model.keys import TokenBatch
from services.ratings.invitations.queries import tokens as token_queries
from services.ratings.invitations.schemas import BatchRead, BatchTokens, JwkSet, OrderBatch
from services.ratings.invitations.use_cases import keys, sms
from shared import clock
from shared.errors import ForbiddenError, NotFoundError
from shared.http.dependencies import ReadSession, Session
from shared.http.idempotency import IdempotentRoute, Once
from shared.pagination import Cursor, Limit, Page, decode_cursor, page_of
from shared.security.auth import Administrator
from shared.security.tokens import Caller

router = APIRouter(route_class=IdempotentRoute)
FIRST = UUID(int=0)


@router.get("/keys", response_model=JwkSet)
async def list_keys(session: Session, response: Response) -> Any:
    """The keys with which a private network checks tokens by itself."""
    response.headers["cache-control"] = "public, max-age=300"
    return {"keys": await keys.list_keys(session, clock.now())}


@router.post("/signing-keys/rotation", status_code=204)
async def rotate_keys(session: Session, _administrator: Administrator) -> None:
    """The next key signs from now on."""
    await keys.rotate_keys(session, clock.now())


@router.post("/token-batches", response_model=BatchRead, status_code=201, dependencies=[Once])
async def order_batch(
    command: OrderBatch, session: Session, orderer: Orderer, settings: Config, at: At
) -> Any:
    """Order pre-issued tokens for a window of a private network; a system for its own department only."""
    if orderer.kind == "system" and place_of(orderer) != (
        command.area_code,
        command.department_code,
    ):
        raise ForbiddenError("a system orders for its own department")
    return await printed_token.order_batch(session, command, orderer.subject, settings, at)


@router.get("/token-batches", response_model=Page[BatchRead])
async def list_batches(
    session: ReadSession, orderer: Orderer, limit: Limit = 50, cursor: Cursor = None
) -> Any:
    """Batches, oldest first; of a system those of its department."""
    after = decode_cursor(cursor, UUID)[0] if cursor else FIRST
    place = place_of(orderer) if orderer.kind == "system" else None
    rows = await token_queries.list_batches(session, place, after, limit)
    items, following = page_of(rows, limit, "id")
    return {"items": items, "next": following}


def _check(batch: TokenBatch, orderer: Caller) -> None:
    if orderer.kind == "system" and not same_place(orderer, batch):
        raise NotFoundError("no such batch of yours")


@router.get("/token-batches/{batch_id}", response_model=BatchRead)
async def get_batch(batch_id: UUID, session: ReadSession, orderer: Orderer) -> Any:
    batch = await token_queries.get_batch(session, batch_id)
    _check(batch, orderer)
    return batch


@router.post("/token-batches/{batch_id}/download", response_model=BatchTokens)
async def download_batch(
    batch_id: UUID, session: Session, orderer: Orderer, settings: Config, response: Response
) -> Any:
    """The tokens, once: 409 for the second time."""
    _check(await token_queries.get_batch(session, batch_id), orderer)
    batch, tokens = await printed_token.download_batch(session, batch_id, clock.now())
    response.headers["cache-control"] = "no-store"
    numbered = [
        {"number": number, "token": token, "link": sms.link(settings.public_url, token)}
        for number, token in enumerate(tokens, start=1)
    ]
    return {"id": batch.id, "expires_on": batch.expires_on, "tokens": numbered}
