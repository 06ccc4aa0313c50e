"""Batches and their figures as answers show them."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from services.exchange.batches.model import Batch, BatchState
from services.exchange.batches.schemas import BatchFigures, BatchRead
from services.exchange.peers.model import RecordMeasure
from services.exchange.peers.queries import CountRow


def read_batch(batch: Batch, *, now: datetime, verdict_minutes: int) -> BatchRead:
    """A batch that has waited longer than `verdict_minutes` is being judged still, and overdue."""
    waited = 0
    if batch.state != BatchState.FINISHED:
        waited = int((now - batch.received_at).total_seconds())
    overdue = waited > verdict_minutes * 60
    state = batch.state
    if overdue:
        state = BatchState.JUDGING
    return BatchRead(
        id=batch.id,
        number=batch.number,
        peer_code=batch.peer_code,
        resource=batch.resource,
        area_code=batch.area_code,
        state=state,
        records=batch.records,
        chunks=batch.chunks,
        chunks_judged=batch.chunks_judged,
        accepted=batch.accepted,
        unchanged=batch.unchanged,
        rejected=batch.rejected,
        received_at=batch.received_at,
        finished_at=batch.finished_at,
        waiting_seconds=waited,
        overdue=overdue,
    )


def read_figures(
    counts: Iterable[CountRow],
    *,
    oldest: Mapping[tuple[str, str], datetime],
    now: datetime,
) -> list[BatchFigures]:
    """The figures per peer and resource, in the order of the counts.

    `oldest` is since when the oldest batch without all its verdicts waits.
    """
    found: dict[tuple[str, str], BatchFigures] = {}
    for count in counts:
        place = (count.peer_code, count.resource)
        if place not in found:
            found[place] = _no_figures(count)
        _add(count, found[place])
    for place, figures in found.items():
        judged = figures.accepted + figures.unchanged + figures.rejected
        figures.in_judgement = figures.received - judged
        if place in oldest:
            figures.oldest_waiting_seconds = int((now - oldest[place]).total_seconds())
    return list(found.values())


def _no_figures(count: CountRow) -> BatchFigures:
    return BatchFigures(
        peer_code=count.peer_code,
        resource=count.resource,
        received=0,
        accepted=0,
        unchanged=0,
        rejected=0,
        rejected_by_rule={},
        in_judgement=0,
        oldest_waiting_seconds=0,
        pushed=0,
        push_rejected=0,
        push_rejected_by_code={},
    )


def _add(count: CountRow, figures: BatchFigures) -> None:
    measure, _, cause = count.measure.partition(":")
    match measure, bool(cause):
        case RecordMeasure.REJECTED, True:
            figures.rejected_by_rule[cause] = count.value
        case RecordMeasure.PUSH_REJECTED, True:
            figures.push_rejected_by_code[cause] = count.value
        case RecordMeasure.RECEIVED, False:
            figures.received = count.value
        case RecordMeasure.ACCEPTED, False:
            figures.accepted = count.value
        case RecordMeasure.UNCHANGED, False:
            figures.unchanged = count.value
        case RecordMeasure.REJECTED, False:
            figures.rejected = count.value
        case RecordMeasure.PUSHED, False:
            figures.pushed = count.value
        case RecordMeasure.PUSH_REJECTED, False:
            figures.push_rejected = count.value
        case _:
            raise ValueError(count.measure)
