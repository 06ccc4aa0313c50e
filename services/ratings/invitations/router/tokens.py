"""HTTP in and out of keys and pre-issued tokens."""

from uuid import UUID

from fastapi import APIRouter, Response

from services.ratings.access import Config, Orderer, id_cursor, office_of
from services.ratings.calendar.dependencies import At
from services.ratings.invitations.model.keys import TokenBatch
from services.ratings.invitations.queries import tokens
from services.ratings.invitations.schemas import (
    BatchRead,
    BatchToken,
    BatchTokens,
    JwkSet,
    OrderBatch,
)
from services.ratings.invitations.use_cases import batches, keys, sms
from services.ratings.model_base import Office
from shared import clock
from shared.errors import ForbiddenError, NotFoundError
from shared.http.dependencies import ReadSession, Session
from shared.http.idempotency import IdempotentRoute, Once
from shared.pagination import Cursor, Limit, Page, page_of
from shared.security.auth import Administrator
from shared.security.tokens import Caller, CallerKind

router = APIRouter(route_class=IdempotentRoute)


@router.get("/keys")
async def list_keys(session: Session, response: Response) -> JwkSet:
    """The keys with which a private network checks tokens by itself."""
    response.headers["cache-control"] = "public, max-age=300"
    return JwkSet(keys=await keys.list_keys(session, clock.now()))


@router.post("/signing-keys/rotation", status_code=204)
async def rotate_keys(session: Session, _administrator: Administrator) -> None:
    """The next key signs from now on."""
    await keys.rotate_keys(session, clock.now())


def _scope(orderer: Caller) -> Office | None:
    """The office that a system orders for; None for administrators, who order for all."""
    if orderer.kind is CallerKind.SYSTEM:
        return office_of(orderer)
    return None


@router.post("/token-batches", status_code=201, dependencies=[Once])
async def order_batch(
    command: OrderBatch, session: Session, orderer: Orderer, settings: Config, at: At
) -> BatchRead:
    """Order pre-issued tokens for a window of a private network.

    A system orders for its own department only.
    """
    office = _scope(orderer)
    if office is not None and office != (command.area_code, command.department_code):
        raise ForbiddenError("a system orders for its own department")
    batch = await batches.order_batch(
        session, command, orderer=orderer.subject, settings=settings, at=at
    )
    return BatchRead.model_validate(batch)


@router.get("/token-batches")
async def list_batches(
    session: ReadSession, orderer: Orderer, limit: Limit = 50, cursor: Cursor = None
) -> Page[BatchRead]:
    """Batches, oldest first; of a system those of its department."""
    rows = await tokens.list_batches(session, _scope(orderer), after=id_cursor(cursor), limit=limit)
    page, next_cursor = page_of(rows, limit, "id")
    return Page[BatchRead](
        items=[BatchRead.model_validate(batch) for batch in page], next=next_cursor
    )


def _check_orderer(batch: TokenBatch, orderer: Caller) -> None:
    is_of_office = (orderer.area, orderer.department) == batch.office
    if orderer.kind is CallerKind.SYSTEM and not is_of_office:
        raise NotFoundError("no such batch of yours")


@router.get("/token-batches/{batch_id}")
async def get_batch(batch_id: UUID, session: ReadSession, orderer: Orderer) -> BatchRead:
    batch = await tokens.get_batch(session, batch_id)
    _check_orderer(batch, orderer)
    return BatchRead.model_validate(batch)


@router.post("/token-batches/{batch_id}/download")
async def download_batch(
    batch_id: UUID, session: Session, orderer: Orderer, settings: Config, response: Response
) -> BatchTokens:
    """The tokens, once: 409 for the second time."""
    _check_orderer(await tokens.get_batch(session, batch_id), orderer)
    batch, texts = await batches.download_batch(session, batch_id, now=clock.now())
    response.headers["cache-control"] = "no-store"
    numbered: list[BatchToken] = []
    for number, text in enumerate(texts, start=1):
        address = sms.link(settings.public_url, token=text)
        numbered.append(BatchToken(number=number, token=text, link=address))
    return BatchTokens(id=batch.id, expires_on=batch.expires_on, tokens=numbered)
