"""The event log: written batch by batch as facts come in, forgotten by age."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.events.model.external import City, draft
from shared.database.direct import UntypedDirect
from shared.events.base import Envelope

PRUNE_BATCH = 5000

ADVANCE = UntypedDirect(
    "WITH known AS (SELECT event_id FROM logged_event WHERE event_id = ANY(CAST(:ids AS uuid[])))"
    " UPDATE log_head SET sequence = sequence + cardinality(CAST(:ids AS uuid[])) - (SELECT count(*) FROM known)"
    " RETURNING sequence, ARRAY(SELECT event_id FROM known) AS known"
)
"""Numbers for the events that are not in the log yet; nobody else gets any before this transaction ends."""
APPEND = UntypedDirect(
    "INSERT INTO logged_event (sequence, event_id, type, key, area_code, department_code, matter_code, occurred_at,"
    " logged_at, payload)"
    " SELECT e.sequence, e.id, e.type, e.key, e.area, e.department, e.matter, CAST(e.at AS timestamptz),"
    "  CAST(:now AS timestamptz), e.payload"
    " FROM unnest(CAST(:sequences AS bigint[]), CAST(:ids AS uuid[]), CAST(:types AS text[]), CAST(:keys AS text[]),"
    "  CAST(:areas AS text[]), CAST(:departments AS text[]), CAST(:matters AS text[]), CAST(:ats AS text[]),"
    "  CAST(:payloads AS bytea[])) AS e (sequence, id, type, key, area, department, matter, at, payload)"
)
OLDEST = text(
    "SELECT max(sequence) FROM (SELECT sequence, logged_at FROM logged_event ORDER BY sequence LIMIT :limit) oldest"
    " WHERE logged_at < :before"
)
PRUNE_EVENTS = text("DELETE FROM logged_event WHERE sequence <= :upto")
PRUNE_DELIVERIES = text(
    "DELETE FROM delivery d USING subscription s WHERE d.subscription_id = s.id AND d.sequence <= :upto"
)
MARK_PRUNED = text("UPDATE log_head SET pruned = greatest(pruned, :upto)")
PRUNE_HISTORY = text(
    "DELETE FROM delivery WHERE (subscription_id, sequence) IN (SELECT subscription_id, sequence FROM delivery"
    " WHERE state = 'delivered' AND delivered_at < :before ORDER BY delivered_at LIMIT :limit)"
)


async def keep_events(
    session: AsyncSession, envelopes: Sequence[Envelope], city: City, now: datetime
) -> int:
    """Append what the outside may see, each event once; the number appended.

    What is made of a fact does not depend on its number, so it is made before the lock of the head is taken.
    """
    drafts = [draft(envelope, city) for envelope in envelopes]
    head = await ADVANCE.first(session, ids=[d.envelope.id for d in drafts])
    fresh = [d for d in drafts if d.envelope.id not in head.known]
    if not fresh:
        return 0
    numbers = range(head.sequence + 1 - len(fresh), head.sequence + 1)
    _ = await APPEND.fetch(
        session,
        sequences=list(numbers),
        ids=[d.envelope.id for d in fresh],
        types=[d.type for d in fresh],
        keys=[d.key for d in fresh],
        areas=[d.area_code for d in fresh],
        departments=[d.department_code for d in fresh],
        matters=[d.matter_code for d in fresh],
        ats=[d.occurred_at for d in fresh],
        payloads=[d.seal(number) for d, number in zip(fresh, numbers, strict=True)],
        now=now,
    )
    return len(fresh)


async def prune_log(session: AsyncSession, before: datetime) -> int:
    """Forget one batch of events logged before `before`, with their deliveries; the highest sequence forgotten, or 0."""
    upto: int | None = await session.scalar(OLDEST, {"before": before, "limit": PRUNE_BATCH})
    if upto is None:
        return 0
    for statement in (MARK_PRUNED, PRUNE_DELIVERIES, PRUNE_EVENTS):
        _ = await session.execute(statement, {"upto": upto})
    return upto


async def prune_history(session: AsyncSession, before: datetime) -> int:
    """Forget one batch of what was delivered before `before`; the number forgotten."""
    gone: Any = await session.execute(PRUNE_HISTORY, {"before": before, "limit": PRUNE_BATCH})
    return gone.rowcount
