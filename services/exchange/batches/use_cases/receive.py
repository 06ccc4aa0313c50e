"""Signed batches: accepted whole or refused whole, with a receipt that never changes."""

import asyncio
import base64
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import IO, Any, Literal, TypedDict

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.batches import queries
from services.exchange.batches.model import (
    Batch,
    BatchChunk,
    BatchReject,
    BatchState,
    StoredFault,
)
from services.exchange.batches.schemas import BatchClaim, digest_field
from services.exchange.batches.use_cases.reading import Chunk, Contents, read_chunk
from services.exchange.batches.use_cases.verdicts import finish_batch
from services.exchange.peers.model import Peer, RecordMeasure
from services.exchange.peers.queries import lock_stream
from services.exchange.peers.use_cases import counts, receipt_keys
from shared.database import audit
from shared.errors import (
    ConflictError,
    FieldError,
    ForbiddenError,
    InvalidInputError,
    ProblemError,
    UnauthenticatedError,
)
from shared.events.exchange import RecordReceived
from shared.ids import new_id
from shared.messaging import outbox
from shared.security.crypto import seal_for

TOLERANCE = timedelta(seconds=300)
"""How far the created time of a batch may be from now."""
CHUNKS_AT_ONCE = 8
"""Chunks that lie in memory together while they are written."""
MALFORMED = StoredFault(field="record", rule="json_object", message="the line is not a JSON object")


class FirstReceipt(TypedDict):
    """What the platform signs when the bytes have come (stage 1)."""

    stage: Literal[1]
    result: Literal["RECEIVED"]
    batch_id: str
    peer_code: str
    number: str
    resource: str
    area_code: str
    records: int
    digest: str
    created: str
    peer_key_id: str
    peer_signature: str
    received_at: str


class SignatureError(UnauthenticatedError):
    """The batch is not signed as it must be. The text never says which check failed."""

    code, title = "invalid_signature", "The signature of the batch does not hold"


def check_claim(peer: Peer, claim: BatchClaim, *, now: datetime) -> None:
    """Whether this peer may push this, and has signed it now with a registered key.

    Raises `ForbiddenError` or `SignatureError`.
    """
    if claim.resource not in peer.resources:
        raise ForbiddenError("this peer may not push {resource}", resource=claim.resource)
    if claim.area_code not in peer.areas:
        raise ForbiddenError("this peer may not push for this area")
    if not _is_signed(peer, claim) or not _is_fresh(claim, now):
        raise SignatureError(
            "sign the batch anew with a registered key, within five minutes of sending it",
            headers={"WWW-Authenticate": 'Signature realm="exchange"'},
        )


def _is_signed(peer: Peer, claim: BatchClaim) -> bool:
    key = peer.find_key(claim.key_id)
    if key is None:
        return False
    padded = key.x + "=" * (-len(key.x) % 4)
    try:
        public = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(padded))
        public.verify(claim.signature, claim.line(peer.code))
    except (ValueError, InvalidSignature):
        return False
    return True


def _is_fresh(claim: BatchClaim, now: datetime) -> bool:
    try:
        return abs(datetime.fromisoformat(claim.created) - now) <= TOLERANCE
    except (ValueError, TypeError):
        # No moment at all, or one without an offset.
        return False


def check_digest(claim: BatchClaim, digest: bytes) -> None:
    """Whether the body is the one that was signed; nothing else is looked into before."""
    if digest != claim.digest:
        fault = FieldError("Content-Digest", "digest", message="the body has another SHA-256")
        raise InvalidInputError(
            "the batch is refused whole: its body is not the one that was signed", [fault]
        )


def check_count(claim: BatchClaim, contents: Contents) -> None:
    """Whether the body holds as many records as were signed."""
    if contents.records != claim.records:
        fault = FieldError(
            "Batch-Records",
            "count",
            message="the body holds {records} records",
            records=contents.records,
        )
        raise InvalidInputError(
            "the batch is refused whole: it does not hold what was signed", [fault]
        )


def record_refusal(
    session: AsyncSession, peer: Peer, *, claim: BatchClaim, problem: ProblemError
) -> None:
    """A refused batch leaves only this row."""
    _record(
        session,
        "batch.refuse",
        batch=f"{peer.code}/{claim.number}",
        resource=claim.resource,
        code=problem.code,
        # Rules and no texts: a text may repeat what the peer sent.
        rules=sorted({fault.rule for fault in problem.errors}),
    )


def _record(session: AsyncSession, action: str, *, batch: object, **detail: Any) -> None:
    """The only writer of audit rows about batches; `detail` is JSON, as `audit.record` takes it."""
    audit.record(session, action, object_type="batch", object_id=batch, **detail)


async def take_batch(
    session: AsyncSession,
    peer: Peer,
    *,
    claim: BatchClaim,
    file: IO[bytes],
    contents: Contents,
    now: datetime,
) -> tuple[bytes, bool]:
    """Store the batch and send its records to be judged, in one transaction.

    The receipt, and whether it is new. Raises `ConflictError` when the peer has used the id for
    another batch.
    """
    # A repeat that comes at the same time waits here, and then finds the first one.
    await lock_stream(session, peer.code, resource=claim.resource)
    before = await queries.find_batch(session, peer, number=claim.number)
    if before is not None:
        _must_be_same(before, claim)
        return before.receipt, False
    batch = _new_batch(peer, claim=claim, contents=contents, now=now)
    batch.receipt = await receipt_keys.sign(
        session, receipt_of(batch), kind="tongban-receipt", now=now
    )
    await _store(session, batch, contents=contents)
    # In this transaction: a receipt without its events would promise what never happens.
    await _send_chunks(session, batch, file=file, chunks=contents.chunks)
    await _count(session, batch, malformed=len(contents.malformed))
    _record(
        session,
        "batch.take",
        batch=batch.id,
        records=batch.records,
        digest=batch.digest.hex(),
    )
    # No service has anything to judge.
    if not contents.chunks:
        await finish_batch(session, batch, now=now)
    return batch.receipt, True


async def _store(session: AsyncSession, batch: Batch, *, contents: Contents) -> None:
    session.add(batch)
    # Chunks and rejects refer to it.
    await session.flush()
    for number, chunk in enumerate(contents.chunks, 1):
        session.add(
            BatchChunk(batch_id=batch.id, chunk=number, first_row=chunk.first_row, rows=chunk.rows)
        )
    for row in contents.malformed:
        session.add(BatchReject(batch_id=batch.id, row=row, key=None, faults=[MALFORMED]))


def _must_be_same(before: Batch, claim: BatchClaim) -> None:
    stored = (before.digest, before.resource, before.area_code)
    if stored != (claim.digest, claim.resource, claim.area_code):
        fault = FieldError("Batch-Id", "one_batch", message="use a new id for another batch")
        raise ConflictError("this batch id was used for another batch", [fault])


def _new_batch(peer: Peer, *, claim: BatchClaim, contents: Contents, now: datetime) -> Batch:
    return Batch(
        id=new_id(),
        peer_id=peer.id,
        peer_code=peer.code,
        number=claim.number,
        resource=claim.resource,
        area_code=claim.area_code,
        department_code=peer.department_code,
        key_id=claim.key_id,
        signature=claim.signature,
        digest=claim.digest,
        created=claim.created,
        records=contents.records,
        chunks=len(contents.chunks),
        chunks_judged=0,
        accepted=0,
        unchanged=0,
        rejected=len(contents.malformed),
        state=BatchState.RECEIVED,
        received_at=now,
    )


def receipt_of(batch: Batch) -> FirstReceipt:
    """Stage 1: these bytes have come, signed so by the peer. It says nothing of what they hold."""
    return FirstReceipt(
        stage=1,
        result="RECEIVED",
        batch_id=str(batch.id),
        peer_code=batch.peer_code,
        number=batch.number,
        resource=batch.resource,
        area_code=batch.area_code,
        records=batch.records,
        digest=digest_field(batch.digest),
        created=batch.created,
        peer_key_id=batch.key_id,
        peer_signature=base64.b64encode(batch.signature).decode(),
        received_at=batch.received_at.isoformat(),
    )


async def _send_chunks(
    session: AsyncSession, batch: Batch, *, file: IO[bytes], chunks: Sequence[Chunk]
) -> None:
    """A few chunks at a time, read and sealed beside the event loop."""
    for start in range(0, len(chunks), CHUNKS_AT_ONCE):
        part = chunks[start : start + CHUNKS_AT_ONCE]
        events = await asyncio.to_thread(_facts, batch, file, chunks=part, first=start + 1)
        await outbox.add_many(session, events)


def _facts(
    batch: Batch, file: IO[bytes], *, chunks: Sequence[Chunk], first: int
) -> list[RecordReceived]:
    """The events of some neighbouring chunks, the first of which has the number `first`."""
    events: list[RecordReceived] = []
    for number, chunk in enumerate(chunks, first):
        event = RecordReceived(
            chunk=number,
            chunks=batch.chunks,
            first_row=chunk.first_row,
            records=seal_for(read_chunk(file, chunk), "exchange.records"),
            **batch.facts(batch.received_at, revision=number),
        )
        events.append(event)
    return events


async def _count(session: AsyncSession, batch: Batch, *, malformed: int) -> None:
    changes = Counter[counts.Cell]()
    changes[batch.peer_code, batch.resource, RecordMeasure.RECEIVED] = batch.records
    changes[batch.peer_code, batch.resource, RecordMeasure.REJECTED] = malformed
    changes[batch.peer_code, batch.resource, f"{RecordMeasure.REJECTED}:{MALFORMED['rule']}"] = (
        malformed
    )
    await counts.add(session, changes)
