"""HTTP in and out of batches, their receipts, the keys that sign them, and their figures."""

import base64
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from services.exchange.access import BatchViewer, PushingPeer
from services.exchange.batches import queries
from services.exchange.batches.model import Batch
from services.exchange.batches.schemas import (
    MAX_BYTES,
    MAX_RECORDS,
    BatchClaim,
    BatchFigures,
    BatchRead,
    ReceiptKeySet,
    read_digest,
)
from services.exchange.batches.use_cases import reading, receive
from services.exchange.batches.views import read_batch, read_figures
from services.exchange.dependencies import Config
from services.exchange.peers.model import Peer
from services.exchange.peers.queries import list_counts
from services.exchange.peers.use_cases import receipt_keys
from shared import clock
from shared.database.session import Database
from shared.errors import FieldError, InvalidInputError, ProblemError
from shared.events.exchange import Resource
from shared.http.bodies import file_body
from shared.http.dependencies import Db, Now, ReadSession, Session
from shared.http.idempotency import IdempotentRoute, Once
from shared.pagination import Cursor, Limit, Page, decode_cursor, page_of
from shared.security.auth import Administrator

JWS = "application/jose"
# The type is FastAPI's own for `responses`.
RECEIPT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The receipt, compact JWS",
        "content": {JWS: {"schema": {"type": "string"}}},
    }
}
TAKEN: dict[int | str, dict[str, Any]] = {201: RECEIPT[200]}

router = APIRouter(route_class=IdempotentRoute)


async def _claim(
    *,
    batch_id: Annotated[
        str,
        Header(pattern=r"^[A-Za-z0-9._:-]{1,64}$", description="The peer's own id of the batch"),
    ],
    batch_resource: Annotated[Resource, Header(description="What the records are")],
    batch_area: Annotated[
        str, Header(pattern="^[0-9]{12}$", description="区划 that the records belong to")
    ],
    batch_records: Annotated[int, Header(ge=1, le=MAX_RECORDS, description="Lines of the body")],
    batch_created: Annotated[
        str,
        Header(
            pattern="^[0-9T:.Z+-]{20,40}$", description="RFC 3339, at most five minutes from now"
        ),
    ],
    batch_key_id: Annotated[
        str, Header(pattern=r"^[\x21-\x7e]{1,128}$", description="kid of a key pinned on the peer")
    ],
    batch_signature: Annotated[
        str,
        Header(
            pattern="^[A-Za-z0-9+/]{86}==$", description="Ed25519 over the canonical lines, base64"
        ),
    ],
    content_digest: Annotated[
        str,
        Header(
            pattern="^sha-256=:[A-Za-z0-9+/]{43}=:$", description="RFC 9530, of the body as sent"
        ),
    ],
) -> BatchClaim:
    try:
        digest = read_digest(content_digest)
        signature = base64.b64decode(batch_signature)
    except ValueError as error:
        fault = FieldError("Content-Digest", "digest", message="is not the base64 of a SHA-256")
        raise InvalidInputError("the digest cannot be read", [fault]) from error
    return BatchClaim(
        number=batch_id,
        resource=batch_resource,
        area_code=batch_area,
        records=batch_records,
        digest=digest,
        created=batch_created,
        key_id=batch_key_id,
        signature=signature,
    )


@asynccontextmanager
async def _refusals_audited(
    database: Database, peer: Peer, *, claim: BatchClaim
) -> AsyncGenerator[None]:
    """A batch that is refused leaves a row of the audit trail, and nothing else."""
    try:
        yield
    except ProblemError as problem:
        async with database.transaction() as session:
            receive.record_refusal(session, peer, claim=claim, problem=problem)
        raise


@router.post(
    "/batches",
    status_code=201,
    response_class=Response,
    responses=TAKEN,
    max_body_size=MAX_BYTES,
    openapi_extra=file_body("application/x-ndjson"),
)
async def take_batch(
    request: Request,
    database: Db,
    peer: PushingPeer,
    claim: Annotated[BatchClaim, Depends(_claim)],
    content_encoding: Annotated[Literal["gzip", "identity"] | None, Header()] = None,
) -> Response:
    """Push records (NDJSON, at most 50,000 and 32 MiB, a line at most 64 KiB).

    The answer is the first receipt. Signed is the text of eight fields, each ended by a line feed:
    `tongban-batch/1`, the peer's code, `Batch-Resource`, `Batch-Area`, `Batch-Id`, `Batch-Records`,
    `Content-Digest`, `Batch-Created`. A repeat (same id, same bytes; signed anew) gets the same
    receipt byte for byte and has no further effect; the same id with other bytes is a conflict.
    """
    packed = content_encoding == "gzip"
    async with _refusals_audited(database, peer, claim=claim):
        receive.check_claim(peer, claim, now=clock.now())
        with reading.spool() as file:
            # The digest is compared before anything is read of what a stranger may have sent.
            digest = await reading.fill(file, request.stream(), packed=packed)
            receive.check_digest(claim, digest)
            contents = await reading.read_contents(file)
            receive.check_count(claim, contents)
            async with database.transaction() as session:
                receipt, is_new = await receive.take_batch(
                    session, peer, claim=claim, file=file, contents=contents, now=clock.now()
                )
    headers: dict[str, str] = {}
    if not is_new:
        headers["idempotent-replayed"] = "true"
    return Response(receipt, 201, headers, JWS)


@router.get("/batches")
async def list_batches(
    *,
    session: ReadSession,
    viewer: BatchViewer,
    settings: Config,
    now: Now,
    number: Annotated[str | None, Query(max_length=64, description="The peer's own id")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[BatchRead]:
    """The peer's batches, newest first; all of them for administrators."""
    after: UUID | None = None
    if cursor:
        after = decode_cursor(cursor, UUID)[0]
    found = await queries.list_batches(session, viewer, number=number, after=after, limit=limit)
    rows: Sequence[Batch]
    rows, next_cursor = page_of(found, limit, "id")
    minutes = settings.verdict_minutes
    return Page(
        items=[read_batch(row, now=now, verdict_minutes=minutes) for row in rows],
        next=next_cursor,
    )


@router.get("/batches/{batch_id}")
async def get_batch(
    batch_id: UUID, session: ReadSession, viewer: BatchViewer, settings: Config, now: Now
) -> BatchRead:
    """How far a batch has come."""
    batch = await queries.get_batch(session, batch_id, peer=viewer)
    return read_batch(batch, now=now, verdict_minutes=settings.verdict_minutes)


@router.get("/batches/{batch_id}/receipts/{stage}", response_class=Response, responses=RECEIPT)
async def get_receipt(
    batch_id: UUID, stage: Literal["1", "2"], session: ReadSession, peer: PushingPeer
) -> Response:
    """A receipt as it was signed, always the same bytes.

    1 says that the bytes came, 2 what became of every record.
    """
    receipt = await queries.get_receipt(session, batch_id, peer=peer, stage=stage)
    return Response(receipt, media_type=JWS)


@router.get("/keys")
async def list_keys(session: Session, now: Now) -> ReceiptKeySet:
    """The public keys that receipts and statements are verified with."""
    return ReceiptKeySet(keys=await receipt_keys.list_keys(session, now))


@router.post("/keys/rotations", status_code=204, dependencies=[Once])
async def rotate_key(session: Session, _administrator: Administrator, now: Now) -> None:
    """Sign with a new key from now on."""
    await receipt_keys.rotate_key(session, now)


@router.get("/statistics/batches")
async def show_figures(session: ReadSession, viewer: BatchViewer, now: Now) -> list[BatchFigures]:
    """Received, accepted, rejected by cause, in judgement, pushed and lag, per peer and resource.

    A peer sees its own.
    """
    peer_code = None
    if viewer is not None:
        peer_code = viewer.code
    counts = await list_counts(session, peer_code)
    oldest = await queries.list_oldest_waiting(session, peer_code)
    return read_figures(counts, oldest=oldest, now=now)
