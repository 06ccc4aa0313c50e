"""HTTP in and out of batches, their receipts, the keys that sign them, and their figures."""

import base64
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from services.exchange.batches import queries
from services.exchange.batches.schemas import (
    MAX_BYTES,
    MAX_RECORDS,
    BatchClaim,
    BatchFigures,
    BatchRead,
    ReceiptKeySet,
    read_digest,
)
from services.exchange.batches.use_cases import reading, receive, verdicts
from services.exchange.peers.model import Peer
from services.exchange.peers.use_cases import counts, receipt_keys
from services.exchange.settings import Settings
from shared import clock
from shared.database.session import Database
from shared.errors import FieldError, ForbiddenError, InvalidInputError, ProblemError
from shared.events.exchange import Resource
from shared.http.bodies import file_body
from shared.http.dependencies import ReadSession, Session
from shared.http.idempotency import IdempotentRoute, Once
from shared.pagination import Cursor, Limit, Page, decode_cursor, page_of
from shared.security.auth import Administrator, CurrentCaller, with_scope
from shared.security.tokens import Caller

JWS = "application/jose"
SCOPE = "exchange:push"
RECEIPT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The receipt, compact JWS",
        "content": {JWS: {"schema": {"type": "string"}}},
    }
}
TAKEN: dict[int | str, dict[str, Any]] = {201: RECEIPT[200]}

router = APIRouter(route_class=IdempotentRoute)


async def _database(request: Request) -> Database:
    return request.app.state.database


async def _settings(request: Request) -> Settings:
    return request.app.state.settings


Db = Annotated[Database, Depends(_database)]
Config = Annotated[Settings, Depends(_settings)]


async def _peer_of(database: Database, caller: Caller) -> Peer:
    async with database.reading() as session:
        peer = await queries.find_peer_of(session, UUID(caller.subject))
    if peer is None:
        raise ForbiddenError("this system is no active peer")
    return peer


async def calling_peer(database: Db, caller: Annotated[Caller, Depends(with_scope(SCOPE))]) -> Peer:
    """The active peer whose system calls; its connection is given back, because a body may take its time."""
    return await _peer_of(database, caller)


async def peer_or_administrator(database: Db, caller: CurrentCaller) -> Peer | None:
    """The calling peer; None for an administrator, who may look at all."""
    if caller.kind == "staff" and "administrator" in caller.roles:
        return None
    if caller.kind != "system" or SCOPE not in caller.scopes:
        raise ForbiddenError(f"this needs a system with the scope {SCOPE}, or an administrator")
    return await _peer_of(database, caller)


CallingPeer = Annotated[Peer, Depends(calling_peer)]
Watcher = Annotated[Peer | None, Depends(peer_or_administrator)]


async def _claim(
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
        digest, signature = read_digest(content_digest), base64.b64decode(batch_signature)
    except ValueError as error:
        fault = FieldError("Content-Digest", "digest", "is not the base64 of a SHA-256")
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
    database: Database, peer: Peer, claim: BatchClaim
) -> AsyncGenerator[None]:
    """What is refused leaves a row of the audit trail, and nothing else."""
    try:
        yield
    except ProblemError as problem:
        async with database.transaction() as session:
            receive.record_refusal(session, peer, claim, problem)
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
    peer: CallingPeer,
    claim: Annotated[BatchClaim, Depends(_claim)],
    content_encoding: Annotated[Literal["gzip", "identity"] | None, Header()] = None,
) -> Response:
    """Push records (NDJSON, at most 50,000 and 32 MiB, a line at most 64 KiB); the answer is the first receipt.

    Signed is the text of eight fields, each ended by a line feed: `tongban-batch/1`, the peer's code, `Batch-Resource`,
    `Batch-Area`, `Batch-Id`, `Batch-Records`, `Content-Digest`, `Batch-Created`. A repeat (same id, same bytes; signed anew)
    gets the same receipt byte for byte and has no further effect; the same id with other bytes is a conflict.
    """
    async with _refusals_audited(database, peer, claim):
        receive.check_claim(peer, claim, clock.now())
        with reading.spool() as file:
            body: AsyncIterator[bytes] = request.stream()
            digest = await reading.fill(file, body, packed=content_encoding == "gzip")
            receive.check_digest(claim, digest)
            contents = await reading.read_contents(file)
            receive.check_count(claim, contents)
            async with database.transaction() as session:
                receipt, new = await receive.take_batch(
                    session, peer, claim, file, contents, clock.now()
                )
    headers = {} if new else {"idempotent-replayed": "true"}
    return Response(receipt, 201, headers, JWS)


@router.get("/batches", response_model=Page[BatchRead])
async def list_batches(
    session: ReadSession,
    watcher: Watcher,
    settings: Config,
    number: Annotated[str | None, Query(max_length=64, description="The peer's own id")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Any:
    """The peer's batches, newest first; all of them for administrators."""
    after = decode_cursor(cursor, UUID)[0] if cursor else None
    found = await queries.list_batches(
        session, None if watcher is None else watcher.id, number, after, limit
    )
    rows, following = page_of(found, limit, "id")
    now = clock.now()
    return {
        "items": [verdicts.show_batch(row, now, settings.verdict_minutes) for row in rows],
        "next": following,
    }


@router.get("/batches/{batch_id}", response_model=BatchRead)
async def get_batch(
    batch_id: UUID, session: ReadSession, watcher: Watcher, settings: Config
) -> Any:
    """How far a batch has come."""
    batch = await queries.get_batch(session, batch_id, None if watcher is None else watcher.id)
    return verdicts.show_batch(batch, clock.now(), settings.verdict_minutes)


@router.get("/batches/{batch_id}/receipts/{stage}", response_class=Response, responses=RECEIPT)
async def get_receipt(
    batch_id: UUID, stage: Literal["1", "2"], session: ReadSession, peer: CallingPeer
) -> Response:
    """A receipt as it was signed: 1 that the bytes came, 2 what became of every record. The same bytes always."""
    return Response(
        await queries.get_receipt(session, batch_id, peer.id, int(stage)), media_type=JWS
    )


@router.get("/keys", response_model=ReceiptKeySet)
async def list_keys(session: Session) -> Any:
    """The public keys that receipts and statements are verified with."""
    return {"keys": await receipt_keys.list_keys(session, clock.now())}


@router.post("/keys/rotations", status_code=204, dependencies=[Once])
async def rotate_key(session: Session, _administrator: Administrator) -> None:
    """Sign with a new key from now on."""
    await receipt_keys.rotate_key(session, clock.now())


@router.get("/statistics/batches", response_model=list[BatchFigures])
async def show_figures(session: ReadSession, watcher: Watcher) -> Any:
    """Received, accepted, rejected by cause, in judgement, pushed, lag: per peer and resource; a peer sees its own."""
    return await counts.show_figures(
        session, None if watcher is None else watcher.code, clock.now()
    )
