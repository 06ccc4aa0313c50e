"""Sending again: dead letters by id, range or filter, and replays of what was delivered before."""

from dataclasses import replace
from datetime import datetime
from typing import NamedTuple, TypedDict
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.events.model.policy import Scope, scope_of
from services.exchange.events.model.subscription import Subscription
from services.exchange.events.queries import log, subscriptions
from services.exchange.events.queries.deliveries import NumberRow
from services.exchange.events.queries.log import IN_SCOPE, MATCHING, Range
from services.exchange.events.schemas.deliveries import Redeliver, Redelivered
from services.exchange.events.use_cases.audit_trail import record
from services.exchange.peers import queries as peers_queries
from shared.database.direct import Direct

BATCH = 5000
"""Events that one request sends again at most; its answer says where to go on."""


class SequenceRow(NamedTuple):
    sequence: int


class Chosen(TypedDict):
    """Which events of the range; None chooses all."""

    id: UUID
    ids: list[UUID] | None
    key: str | None
    now: datetime


def _chosen(table: str) -> str:
    """Condition on the alias of `delivery` or `logged_event`."""
    return (
        f" AND (CAST(:ids AS uuid[]) IS NULL OR {table}.event_id = ANY (CAST(:ids AS uuid[])))"
        f" AND (CAST(:key AS text) IS NULL OR {table}.key = CAST(:key AS text))"
    )


WAIT_AGAIN = (
    "state = 'pending', attempts = 0, first_failed_at = NULL, delivered_at = NULL,"
    " next_attempt_at = CAST(:now AS timestamptz)"
)
REDRIVE = Direct(
    "WITH chosen AS (SELECT d.sequence FROM delivery d"
    "  WHERE d.subscription_id = :id AND d.state = 'dead'"
    "  AND d.sequence > :after AND d.sequence <= :upto AND d.type = ANY (CAST(:types AS text[]))"
    + _chosen("d")
    + "  ORDER BY d.sequence LIMIT :limit FOR UPDATE)"
    f" UPDATE delivery SET {WAIT_AGAIN}"
    " WHERE subscription_id = :id AND sequence IN (SELECT sequence FROM chosen)"
    " RETURNING sequence",
    SequenceRow,
)


def _replay(sequences: str) -> Direct[NumberRow]:
    """Write deliveries of these events, or let those that are there wait again."""
    return Direct(
        "WITH done AS (INSERT INTO delivery"
        "  (subscription_id, sequence, event_id, type, key, state, attempts, next_attempt_at)"
        "  SELECT CAST(:id AS uuid), l.sequence, l.event_id, l.type, l.key, 'pending', 0,"
        "   CAST(:now AS timestamptz)"
        f" FROM ({sequences}) m JOIN logged_event l USING (sequence) WHERE true"
        + _chosen("l")
        + " ON CONFLICT (subscription_id, sequence)"
        f"  DO UPDATE SET {WAIT_AGAIN} WHERE delivery.state <> 'pending' RETURNING 1)"
        " SELECT count(*) AS number FROM done",
        NumberRow,
    )


REPLAY_RANGE = _replay(MATCHING)
REPLAY_NAMED = _replay(
    "SELECT l.sequence FROM logged_event l WHERE l.event_id = ANY (CAST(:ids AS uuid[]))"
    " AND l.sequence > :after AND l.sequence <= :upto" + IN_SCOPE
)


async def redeliver(
    session: AsyncSession,
    subscription_id: UUID,
    *,
    peer_id: UUID | None,
    command: Redeliver,
    now: datetime,
) -> Redelivered:
    """Make the chosen events wait to be sent again, under the same ids, in order per key.

    By the peer itself or an administrator (`peer_id` None). Raises `ConflictError` unless events
    are sent to the subscription's endpoint now.
    """
    subscription = await subscriptions.get_subscription(
        session, subscription_id, peer_id=peer_id, lock=True
    )
    subscription.must_send()
    peer = await peers_queries.get_peer(session, subscription.peer_id)
    wanted = await _range(
        session, subscription, scope=scope_of(peer, subscription), command=command
    )
    chosen = Chosen(id=subscription.id, ids=command.event_ids, key=command.key, now=now)
    if command.which == "dead":
        answer = await _send_dead(session, wanted, chosen=chosen)
    else:
        answer = await _send_all(session, wanted, chosen=chosen)
    record(
        session,
        "delivery.redeliver",
        subscription=subscription,
        which=command.which,
        queued=answer.queued,
        from_sequence=command.from_sequence,
        to_sequence=command.to_sequence,
    )
    return answer


async def _range(
    session: AsyncSession, subscription: Subscription, *, scope: Scope, command: Redeliver
) -> Range:
    if command.event_types is not None:
        types = tuple(name for name in scope.types if name in command.event_types)
        scope = replace(scope, types=types)
    head = await log.get_head(session)
    # Never beyond the cursor: what lies there comes by itself.
    upto = min(subscription.cursor, head.sequence)
    if command.to_sequence is not None:
        upto = min(subscription.cursor, command.to_sequence)
    after = 0
    if command.from_sequence is not None:
        after = command.from_sequence - 1
    return log.range_of(scope, after=after, upto=upto, limit=BATCH)


async def _send_dead(session: AsyncSession, wanted: Range, *, chosen: Chosen) -> Redelivered:
    rows = await REDRIVE.fetch(session, **wanted, **chosen)
    if len(rows) < BATCH:
        return Redelivered(queued=len(rows), next=None)
    # The rows of an UPDATE come in no order.
    last = max(row.sequence for row in rows)
    return Redelivered(queued=len(rows), next=last + 1)


async def _send_all(session: AsyncSession, wanted: Range, *, chosen: Chosen) -> Redelivered:
    if chosen["ids"] is not None:
        return Redelivered(
            queued=await _write(session, REPLAY_NAMED, wanted=wanted, chosen=chosen), next=None
        )
    match = await log.find_last_match(session, wanted)
    queued = await _write(session, REPLAY_RANGE, wanted=wanted, chosen=chosen)
    if match.last is not None and match.number == BATCH:
        return Redelivered(queued=queued, next=match.last + 1)
    return Redelivered(queued=queued, next=None)


async def _write(
    session: AsyncSession, statement: Direct[NumberRow], *, wanted: Range, chosen: Chosen
) -> int:
    done = await statement.first(session, **wanted, **chosen)
    assert done is not None, "a count has a row"
    return done.number
