"""Verdicts of the services on the records of batches, and the second receipt when all have come."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, NamedTuple, TypedDict, cast
from uuid import UUID

import orjson
import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.batches import queries
from services.exchange.batches.model import Batch, BatchReject, StoredFault
from services.exchange.peers.model import RecordMeasure
from services.exchange.peers.use_cases import counts, receipt_keys
from shared.database.direct import Direct, command
from shared.events.exchange import RecordRejected, Resource
from shared.events.records import RecordsJudged, Verdict
from shared.messaging import outbox

RESOURCE_OF: Mapping[str, Resource] = {
    "cases": "cases",
    "licenses": "licenses",
    "matters": "supervision",
    "ratings": "ratings",
}
"""The resource whose records a service judges."""
FAULTS_PER_EVENT = 1_000
"""So that an event stays below the size that the bus takes."""
ChunkId = tuple[UUID, int]
"""Batch and number of the chunk."""


class JudgedRow(NamedTuple):
    """A chunk that has its verdicts now and had none before."""

    batch_id: UUID
    chunk: int
    first_row: int
    rows: int


class NewReject(TypedDict):
    """A row of `batch_reject` to be written."""

    batch_id: str
    row: int
    key: str | None
    faults: list[StoredFault]


class ShownReject(TypedDict):
    """A record that came back, as the second receipt shows it."""

    row: int
    key: str | None
    faults: list[StoredFault]


class FinalReceipt(TypedDict):
    """What the platform signs when every record has its verdict (stage 2)."""

    stage: Literal[2]
    result: Literal["JUDGED"]
    batch_id: str
    peer_code: str
    number: str
    resource: str
    records: int
    accepted: int
    unchanged: int
    rejected: int
    rejects: list[ShownReject]
    previous_receipt_sha256: str
    finished_at: str


JUDGE = Direct(
    "UPDATE batch_chunk c SET judged_at = :now"
    " FROM unnest(CAST(:batches AS uuid[]), CAST(:chunks AS int[])) AS g (batch_id, chunk)"
    " WHERE c.batch_id = g.batch_id AND c.chunk = g.chunk AND c.judged_at IS NULL"
    " RETURNING c.batch_id, c.chunk, c.first_row, c.rows",
    JudgedRow,
)
ADD_REJECTS = command(
    "INSERT INTO batch_reject (batch_id, row, key, faults)"
    " SELECT CAST(r->>'batch_id' AS uuid), CAST(r->>'row' AS int), r->>'key', r->'faults'"
    " FROM jsonb_array_elements(CAST(:rows AS jsonb)) AS r ON CONFLICT DO NOTHING"
)

log = structlog.get_logger(__name__)


class IncompleteVerdictError(ValueError):
    """The answer to a chunk does not name each of its rows once.

    The event becomes a dead letter, for a person to look at.
    """


async def take_verdicts(
    session: AsyncSession, events: Sequence[RecordsJudged], *, now: datetime
) -> None:
    """Judge each chunk once, however often its verdicts come; the last one finishes its batch.

    Raises `IncompleteVerdictError`.
    """
    batches = await queries.lock_batches(session, sorted({event.batch_id for event in events}))
    known: dict[ChunkId, RecordsJudged] = {}
    for event in events:
        batch = batches.get(event.batch_id)
        # A service judges its own resource only; a wrong answer must not finish the batch.
        if batch is None or RESOURCE_OF.get(event.service) != batch.resource:
            log.warning("verdicts.unknown", batch_id=str(event.batch_id), service=event.service)
            continue
        # Of doubled answers in one set the first counts.
        _ = known.setdefault((event.batch_id, event.chunk), event)
    if known:
        await _judge(session, batches, known=known, now=now)


async def _judge(
    session: AsyncSession,
    batches: Mapping[UUID, Batch],
    *,
    known: Mapping[ChunkId, RecordsJudged],
    now: datetime,
) -> None:
    fresh = await JUDGE.fetch(
        session,
        now=now,
        batches=[batch_id for batch_id, _ in known],
        chunks=[chunk for _, chunk in known],
    )
    rejects: list[NewReject] = []
    changes = Counter[counts.Cell]()
    for row in fresh:
        event = known[row.batch_id, row.chunk]
        # Before anything is counted: a half answer would leave the batch open for ever.
        _check_complete(event, row)
        batch = batches[row.batch_id]
        _count(batch, event.verdicts, changes=changes)
        rejects += _rejects(batch, event.verdicts)
    await _add_rejects(session, rejects)
    await counts.add(session, changes)
    # In one order everywhere, so that two workers never wait for each other's keys and counters.
    touched = {row.batch_id for row in fresh}
    for batch_id in sorted(touched):
        await _finish_if_judged(session, batches[batch_id], now=now)


async def _finish_if_judged(session: AsyncSession, batch: Batch, *, now: datetime) -> None:
    if batch.chunks_judged == batch.chunks:
        await finish_batch(session, batch, now=now)


def _count(batch: Batch, verdicts: Sequence[Verdict], *, changes: Counter[counts.Cell]) -> None:
    """Count verdicts on one chunk, for its batch and for the running figures."""
    batch.add_verdicts(Counter(verdict.status for verdict in verdicts))
    for verdict in verdicts:
        changes[batch.peer_code, batch.resource, verdict.status] += 1
        if verdict.status == "rejected":
            changes[
                batch.peer_code, batch.resource, f"{RecordMeasure.REJECTED}:{_rule(verdict)}"
            ] += 1


def _check_complete(event: RecordsJudged, row: JudgedRow) -> None:
    judged = sorted(verdict.row for verdict in event.verdicts)
    if judged != list(range(row.first_row, row.first_row + row.rows)):
        raise IncompleteVerdictError(
            f"chunk {event.chunk} of batch {event.batch_id} has {row.rows} rows"
        )


def _rule(verdict: Verdict) -> str:
    """The rule by which a rejected record is counted: that of its first fault."""
    if not verdict.faults:
        return "unknown"
    return verdict.faults[0].rule


async def _add_rejects(session: AsyncSession, rejects: Sequence[NewReject]) -> None:
    if rejects:
        await ADD_REJECTS.execute(session, rows=orjson.dumps(rejects).decode())


def _rejects(batch: Batch, verdicts: Sequence[Verdict]) -> list[NewReject]:
    rejects: list[NewReject] = []
    for verdict in verdicts:
        if verdict.status != "rejected":
            continue
        faults: list[StoredFault] = []
        for fault in verdict.faults:
            faults.append(StoredFault(field=fault.field, rule=fault.rule, message=fault.message))
        rejects.append(
            NewReject(batch_id=str(batch.id), row=verdict.row, key=verdict.key, faults=faults)
        )
    return rejects


async def finish_batch(session: AsyncSession, batch: Batch, *, now: datetime) -> None:
    """Every record has its verdict: write the second receipt and the events."""
    finished = batch.finish(now)
    rejects = await queries.list_rejects(session, batch.id)
    document = _final_receipt(batch, rejects, now=now)
    batch.final_receipt = await receipt_keys.sign(
        session, document, kind="tongban-receipt", now=now
    )
    await outbox.add_many(session, [*_rejections(batch, rejects, now=now), finished])


def _final_receipt(batch: Batch, rejects: Sequence[BatchReject], *, now: datetime) -> FinalReceipt:
    shown: list[ShownReject] = []
    for reject in rejects:
        shown.append(ShownReject(row=reject.row, key=reject.key, faults=reject.faults))
    return FinalReceipt(
        stage=2,
        result="JUDGED",
        batch_id=str(batch.id),
        peer_code=batch.peer_code,
        number=batch.number,
        resource=batch.resource,
        records=batch.records,
        accepted=batch.accepted,
        unchanged=batch.unchanged,
        rejected=batch.rejected,
        rejects=shown,
        previous_receipt_sha256=hashlib.sha256(batch.receipt).hexdigest(),
        finished_at=now.isoformat(),
    )


def _rejections(
    batch: Batch, rejects: Sequence[BatchReject], *, now: datetime
) -> list[RecordRejected]:
    """As many events as it takes, with row, field and rule of every fault."""
    faults: list[dict[str, str | int]] = []
    for reject in rejects:
        for fault in reject.faults:
            # Spread, because the members keep the order in which they are stored.
            members = cast("dict[str, str]", fault)
            faults.append({"row": reject.row, **members})
    events: list[RecordRejected] = []
    for start in range(0, len(faults), FAULTS_PER_EVENT):
        part = faults[start : start + FAULTS_PER_EVENT]
        events.append(RecordRejected(faults=part, **batch.facts(now)))
    return events
