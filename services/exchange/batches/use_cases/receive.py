"""Signed batches: taken in whole or refused whole, with a receipt that stays the same byte for byte."""

import asyncio
import base64
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import IO, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.batches import queries
from services.exchange.batches.model import Batch, BatchChunk, BatchReject
from services.exchange.batches.schemas import BatchClaim, digest_field
from services.exchange.batches.use_cases.reading import Chunk, Contents, read_chunk
from services.exchange.batches.use_cases.verdicts import finish_batch
from services.exchange.peers.model import Peer
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
AT_ONCE = 8
"""Chunks that lie in memory together while they are written."""
MALFORMED = {"field": "record", "rule": "json_object", "message": "the line is not a JSON object"}


class SignatureError(UnauthenticatedError):
    """The batch is not signed as it must be. The words never tell which check failed."""

    code, title = "invalid_signature", "The signature of the batch does not hold"


def check_claim(peer: Peer, claim: BatchClaim, now: datetime) -> None:
    """Whether this peer may push this, and has signed it now with a key that is pinned here."""
    if claim.resource not in peer.resources:
        raise ForbiddenError(f"this peer may not push {claim.resource}")
    if claim.area_code not in (peer.area_codes or [peer.area_code]):
        raise ForbiddenError("this peer may not push for this area")
    try:
        pinned = next(key for key in peer.valid_keys if key["kid"] == claim.key_id)
        padded = pinned["x"] + "=" * (-len(pinned["x"]) % 4)
        Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(padded)).verify(
            claim.signature, claim.line(peer.code)
        )
        if abs(datetime.fromisoformat(claim.created) - now) > TOLERANCE:
            raise ValueError("stale")  # noqa: TRY301 - one refusal for every fault
    except (StopIteration, KeyError, ValueError, TypeError, InvalidSignature) as error:
        raise SignatureError(
            "sign the batch anew with a pinned key, within five minutes of sending it",
            headers={"WWW-Authenticate": 'Signature realm="exchange"'},
        ) from error


def check_digest(claim: BatchClaim, digest: bytes) -> None:
    """Whether the body is the one that was signed: nothing else is looked into."""
    if digest != claim.digest:
        fault = FieldError("Content-Digest", "digest", "the body has another SHA-256")
        raise InvalidInputError(
            "the batch is refused whole: its body is not the one that was signed", [fault]
        )


def check_count(claim: BatchClaim, contents: Contents) -> None:
    """Whether the body holds as many records as were signed."""
    if contents.records != claim.records:
        fault = FieldError("Batch-Records", "count", f"the body holds {contents.records} records")
        raise InvalidInputError(
            "the batch is refused whole: it does not hold what was signed", [fault]
        )


def record_refusal(
    session: AsyncSession, peer: Peer, claim: BatchClaim, problem: ProblemError
) -> None:
    """A refused batch leaves nothing but this row."""
    rules = sorted({fault.rule for fault in problem.errors})
    name = f"{peer.code}/{claim.number}"
    audit.record(
        session,
        "batch.refuse",
        "batch",
        name,
        resource=claim.resource,
        code=problem.code,
        rules=rules,
    )


async def take_batch(
    session: AsyncSession,
    peer: Peer,
    claim: BatchClaim,
    file: IO[bytes],
    contents: Contents,
    now: datetime,
) -> tuple[bytes, bool]:
    """Store the batch and send its records to be judged, in one transaction; the receipt, and whether it is new."""
    await queries.lock_order(session, peer.code, claim.resource)
    before = await queries.find_batch(session, peer.id, claim.number)
    if before is not None:
        if (before.digest, before.resource, before.area_code) != (
            claim.digest,
            claim.resource,
            claim.area_code,
        ):
            fault = FieldError("Batch-Id", "one_batch", "use a new id for another batch")
            raise ConflictError("this batch id was used for another batch", [fault])
        return before.receipt, False
    batch = _new_batch(peer, claim, contents, now)
    batch.receipt = await receipt_keys.sign(session, "tongban-receipt", receipt_of(batch), now)
    session.add(batch)
    await session.flush()
    session.add_all(
        BatchChunk(batch_id=batch.id, chunk=number, first_row=chunk.first_row, rows=chunk.rows)
        for number, chunk in enumerate(contents.chunks, 1)
    )
    session.add_all(
        BatchReject(batch_id=batch.id, row=row, key=None, faults=[MALFORMED])
        for row in contents.malformed
    )
    await _send(session, batch, file, contents.chunks)
    await _count(session, batch, len(contents.malformed))
    audit.record(
        session, "batch.take", "batch", batch.id, records=batch.records, digest=batch.digest.hex()
    )
    if not contents.chunks:
        await finish_batch(session, batch, now)
    return batch.receipt, True


def _new_batch(peer: Peer, claim: BatchClaim, contents: Contents, now: datetime) -> Batch:
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
        state="received",
        received_at=now,
    )


def receipt_of(batch: Batch) -> dict[str, Any]:
    """Stage 1: these bytes have come, signed so by the peer. Nothing is said of what they hold."""
    return {
        "stage": 1,
        "result": "RECEIVED",
        "batch_id": str(batch.id),
        "peer_code": batch.peer_code,
        "number": batch.number,
        "resource": batch.resource,
        "area_code": batch.area_code,
        "records": batch.records,
        "digest": digest_field(batch.digest),
        "created": batch.created,
        "peer_key_id": batch.key_id,
        "peer_signature": base64.b64encode(batch.signature).decode(),
        "received_at": batch.received_at.isoformat(),
    }


async def _send(
    session: AsyncSession, batch: Batch, file: IO[bytes], chunks: Sequence[Chunk]
) -> None:
    """A few chunks at a time, read and sealed beside the event loop."""
    for start in range(0, len(chunks), AT_ONCE):
        events = await asyncio.to_thread(_facts, batch, file, chunks, start)
        await outbox.add_many(session, events)


def _facts(
    batch: Batch, file: IO[bytes], chunks: Sequence[Chunk], start: int
) -> list[RecordReceived]:
    return [
        RecordReceived(
            **batch.about(batch.received_at, number),
            chunk=number,
            chunks=len(chunks),
            first_row=chunk.first_row,
            records=seal_for(read_chunk(file, chunk), "exchange.records"),
        )
        for number, chunk in enumerate(chunks[start : start + AT_ONCE], start + 1)
    ]


async def _count(session: AsyncSession, batch: Batch, malformed: int) -> None:
    changes = Counter[counts.Cell]()
    place = (batch.peer_code, batch.resource)
    changes[*place, "received"] = batch.records
    changes[*place, "rejected"] = changes[*place, f"rejected:{MALFORMED['rule']}"] = malformed
    await counts.add(session, changes)
