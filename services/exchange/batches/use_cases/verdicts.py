"""Verdicts of the services on the records of batches, and the second receipt when all have come."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.batches import queries
from services.exchange.batches.model import Batch
from services.exchange.peers.use_cases import counts, receipt_keys
from shared.events.base import Event
from shared.events.exchange import RecordRejected
from shared.events.records import RecordsJudged, Verdict
from shared.messaging import outbox

RESOURCE_OF = {
    "cases": "cases",
    "licenses": "licenses",
    "matters": "supervision",
    "ratings": "ratings",
}
"""The resource whose records a service judges."""
FAULTS_PER_EVENT = 1_000

JUDGE = text(
    "UPDATE batch_chunk c SET judged_at = :now FROM unnest(CAST(:batches AS uuid[]), CAST(:chunks AS int[]))"
    " AS g (batch_id, chunk) WHERE c.batch_id = g.batch_id AND c.chunk = g.chunk AND c.judged_at IS NULL"
    " RETURNING c.batch_id, c.chunk, c.first_row, c.rows"
)
KEEP_REJECTS = text(
    "INSERT INTO batch_reject (batch_id, row, key, faults)"
    " SELECT CAST(r->>'batch_id' AS uuid), CAST(r->>'row' AS int), r->>'key', r->'faults'"
    " FROM jsonb_array_elements(CAST(:rows AS jsonb)) AS r ON CONFLICT DO NOTHING"
)

log = structlog.get_logger(__name__)


class IncompleteVerdictError(ValueError):
    """The answer to a chunk does not speak of every row of it, once: it is set aside for a person."""


async def take_verdicts(session: AsyncSession, events: Sequence[Event], now: datetime) -> None:
    """Each chunk is judged once, however often its verdicts come; the last one finishes its batch."""
    judged = [event for event in events if isinstance(event, RecordsJudged)]
    batches = await queries.lock_batches(session, sorted({event.batch_id for event in judged}))
    known: dict[tuple[UUID, int], RecordsJudged] = {}
    for event in judged:
        batch = batches.get(event.batch_id)
        if batch is None or RESOURCE_OF.get(event.service) != batch.resource:
            log.warning("verdicts.unknown", batch_id=str(event.batch_id), service=event.service)
        else:
            _ = known.setdefault((event.batch_id, event.chunk), event)
    if known:
        await _judge(session, batches, known, now)


async def _judge(
    session: AsyncSession,
    batches: Mapping[UUID, Batch],
    known: Mapping[tuple[UUID, int], RecordsJudged],
    now: datetime,
) -> None:
    given = {
        "now": now,
        "batches": [batch_id for batch_id, _ in known],
        "chunks": [chunk for _, chunk in known],
    }
    fresh = (await session.execute(JUDGE, given)).all()
    rejects: list[dict[str, Any]] = []
    changes = Counter[counts.Cell]()
    touched: set[UUID] = set()
    for row in fresh:
        verdicts = _complete(known[row.batch_id, row.chunk], row.first_row, row.rows)
        batch = batches[row.batch_id]
        batch.chunks_judged += 1
        batch.state = "judging"
        touched.add(batch.id)
        statuses = Counter(verdict.status for verdict in verdicts)
        batch.count(dict(statuses))
        refused = [verdict for verdict in verdicts if verdict.status == "rejected"]
        rejects += [_reject(batch.id, verdict) for verdict in refused]
        place = (batch.peer_code, batch.resource)
        changes.update({(*place, status): number for status, number in statuses.items()})
        changes.update((*place, f"rejected:{_rule(verdict)}") for verdict in refused)
    if rejects:
        _ = await session.execute(KEEP_REJECTS, {"rows": orjson.dumps(rejects).decode()})
    await counts.add(session, changes)
    for batch in (batches[batch_id] for batch_id in sorted(touched)):
        if batch.chunks_judged == batch.chunks:
            await finish_batch(session, batch, now)


def _complete(event: RecordsJudged, first_row: int, rows: int) -> list[Verdict]:
    found = {verdict.row: verdict for verdict in event.verdicts}
    if sorted(found) != list(range(first_row, first_row + rows)) or len(found) != len(
        event.verdicts
    ):
        raise IncompleteVerdictError(
            f"chunk {event.chunk} of batch {event.batch_id} has {rows} rows"
        )
    return list(found.values())


def _rule(verdict: Verdict) -> str:
    return verdict.faults[0].rule if verdict.faults else "unknown"


def _reject(batch_id: UUID, verdict: Verdict) -> dict[str, Any]:
    faults = [fault.model_dump() for fault in verdict.faults]
    return {"batch_id": str(batch_id), "row": verdict.row, "key": verdict.key, "faults": faults}


async def finish_batch(session: AsyncSession, batch: Batch, now: datetime) -> None:
    """Every record has its verdict: the second receipt, and the facts."""
    finished = batch.finish(now)
    rejects = [
        {"row": reject.row, "key": reject.key, "faults": reject.faults}
        for reject in await queries.list_rejects(session, batch.id)
    ]
    document = {
        "stage": 2,
        "result": "JUDGED",
        "batch_id": str(batch.id),
        "peer_code": batch.peer_code,
        "number": batch.number,
        "resource": batch.resource,
        "records": batch.records,
        "accepted": batch.accepted,
        "unchanged": batch.unchanged,
        "rejected": batch.rejected,
        "rejects": rejects,
        "previous_receipt_sha256": hashlib.sha256(batch.receipt).hexdigest(),
        "finished_at": now.isoformat(),
    }
    batch.final_receipt = await receipt_keys.sign(session, "tongban-receipt", document, now)
    await outbox.add_many(session, [*_rejections(batch, rejects, now), finished])


def _rejections(
    batch: Batch, rejects: Sequence[Mapping[str, Any]], now: datetime
) -> list[RecordRejected]:
    """As many facts as it takes, with row, field and rule of every fault."""
    faults = [{"row": reject["row"], **fault} for reject in rejects for fault in reject["faults"]]
    parts = [
        faults[start : start + FAULTS_PER_EVENT]
        for start in range(0, len(faults), FAULTS_PER_EVENT)
    ]
    return [RecordRejected(faults=part, **batch.about(now)) for part in parts]


def show_batch(batch: Batch, now: datetime, verdict_minutes: int) -> dict[str, Any]:
    """As it is read: one that has waited too long is told as being judged still, and overdue."""
    waited = 0 if batch.state == "finished" else int((now - batch.received_at).total_seconds())
    names = "id number peer_code resource area_code records chunks chunks_judged accepted unchanged rejected received_at"
    overdue = waited > verdict_minutes * 60
    return {
        **{name: getattr(batch, name) for name in (*names.split(), "finished_at")},
        "state": "judging" if overdue else batch.state,
        "waiting_seconds": waited,
        "overdue": overdue,
    }
