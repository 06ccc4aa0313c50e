"""The event log: written batch by batch as facts come in, pruned by age."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.events.model.external import City, Draft, draft
from services.exchange.events.queries import log
from services.exchange.events.queries.deliveries import NumberRow
from shared.database.direct import Direct, command
from shared.events.base import Envelope

PRUNE_BATCH = 5000


class HeadRow(NamedTuple):
    """The last number taken, and which of the given events are in the log already."""

    sequence: int
    known: list[UUID]


# Numbers for the events that are not in the log yet; nobody else gets any before this transaction
# ends.
ADVANCE = Direct(
    "WITH known AS"
    " (SELECT event_id FROM logged_event WHERE event_id = ANY(CAST(:ids AS uuid[])))"
    " UPDATE log_head SET sequence = sequence + cardinality(CAST(:ids AS uuid[]))"
    "  - (SELECT count(*) FROM known)"
    " RETURNING sequence, ARRAY(SELECT event_id FROM known) AS known",
    HeadRow,
)
APPEND = command(
    "INSERT INTO logged_event (sequence, event_id, type, key, area_code, department_code,"
    "  matter_code, occurred_at, logged_at, payload)"
    " SELECT e.sequence, e.id, e.type, e.key, e.area, e.department, e.matter,"
    "  CAST(e.at AS timestamptz), CAST(:now AS timestamptz), e.payload"
    " FROM unnest(CAST(:sequences AS bigint[]), CAST(:ids AS uuid[]), CAST(:types AS text[]),"
    "  CAST(:keys AS text[]), CAST(:areas AS text[]), CAST(:departments AS text[]),"
    "  CAST(:matters AS text[]), CAST(:ats AS text[]), CAST(:payloads AS bytea[]))"
    "  AS e (sequence, id, type, key, area, department, matter, at, payload)"
)
MARK_PRUNED = command("UPDATE log_head SET pruned = greatest(pruned, CAST(:upto AS bigint))")
PRUNE_DELIVERIES = command(
    "DELETE FROM delivery d USING subscription s"
    " WHERE d.subscription_id = s.id AND d.sequence <= :upto"
)
PRUNE_EVENTS = command("DELETE FROM logged_event WHERE sequence <= :upto")
PRUNE_HISTORY = Direct(
    "WITH done AS (DELETE FROM delivery WHERE (subscription_id, sequence) IN"
    "  (SELECT subscription_id, sequence FROM delivery"
    "   WHERE state = 'delivered' AND delivered_at < :before ORDER BY delivered_at LIMIT :limit)"
    "  RETURNING 1)"
    " SELECT count(*) AS number FROM done",
    NumberRow,
)


async def append_events(
    session: AsyncSession, envelopes: Sequence[Envelope], *, city: City, now: datetime
) -> int:
    """Append what the outside may see, each event once; the number appended.

    Raises `KeyError` for a fact that stays inside.
    """
    # The documents do not depend on the numbers, so they are made before the head is locked.
    drafts = [draft(envelope, city) for envelope in envelopes]
    head = await ADVANCE.first(session, ids=[one.envelope.id for one in drafts])
    assert head is not None, "the migration made the head"
    fresh = [one for one in drafts if one.envelope.id not in head.known]
    if not fresh:
        return 0
    await _append(session, fresh, first=head.sequence + 1 - len(fresh), now=now)
    return len(fresh)


async def _append(
    session: AsyncSession, drafts: Sequence[Draft], *, first: int, now: datetime
) -> None:
    """Write events with the numbers from `first` on."""
    await APPEND.execute(
        session,
        sequences=list(range(first, first + len(drafts))),
        ids=[one.envelope.id for one in drafts],
        types=[one.type for one in drafts],
        keys=[one.key for one in drafts],
        areas=[one.area_code for one in drafts],
        departments=[one.department_code for one in drafts],
        matters=[one.matter_code for one in drafts],
        ats=[one.occurred_at for one in drafts],
        payloads=[one.seal(number) for number, one in enumerate(drafts, first)],
        now=now,
    )


async def prune_log(session: AsyncSession, before: datetime) -> int:
    """Delete one batch of events logged before `before`, with their deliveries.

    The highest sequence deleted, or 0.
    """
    upto = await log.find_oldest_before(session, before, limit=PRUNE_BATCH)
    if upto is None:
        return 0
    for statement in (MARK_PRUNED, PRUNE_DELIVERIES, PRUNE_EVENTS):
        await statement.execute(session, upto=upto)
    return upto


async def prune_history(session: AsyncSession, before: datetime) -> int:
    """Delete one batch of deliveries that arrived before `before`; the number deleted."""
    done = await PRUNE_HISTORY.first(session, before=before, limit=PRUNE_BATCH)
    assert done is not None, "a count has a row"
    return done.number
