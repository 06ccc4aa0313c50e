"""Sending again: dead letters by id, range or filter, and replays of what was delivered before."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, DateTime, Uuid, bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.events.model.policy import Scope, scope_of
from services.exchange.events.model.subscription import Subscription
from services.exchange.events.queries import log, subscriptions
from services.exchange.events.queries.log import MATCHING, scope_values
from services.exchange.events.schemas.deliveries import Redeliver, Redelivered
from services.exchange.peers import queries as peers_queries
from shared.database import audit

BATCH = 5000
"""Events that one request sends again at most; its answer tells where to go on."""
CHOSEN = (
    " AND (CAST(:ids AS uuid[]) IS NULL OR {0}.event_id = ANY (CAST(:ids AS uuid[])))"
    " AND (CAST(:key AS text) IS NULL OR {0}.key = :key)"
)
AGAIN = "state = 'pending', attempts = 0, first_failed_at = NULL, delivered_at = NULL, next_attempt_at = :now"

REDRIVE = text(
    "WITH chosen AS (SELECT d.sequence FROM delivery d WHERE d.subscription_id = :id AND d.state = 'dead'"
    " AND d.sequence > :after AND d.sequence <= :upto AND d.type = ANY (CAST(:types AS text[]))"
    + CHOSEN.format("d")
    + " ORDER BY d.sequence LIMIT :limit FOR UPDATE)"
    f" UPDATE delivery SET {AGAIN} WHERE subscription_id = :id AND sequence IN (SELECT sequence FROM chosen)"
    " RETURNING sequence"
).bindparams(bindparam("ids", type_=ARRAY(Uuid())))
PLAY = (
    "INSERT INTO delivery (subscription_id, sequence, event_id, type, key, state, attempts, next_attempt_at)"
    " SELECT :id, l.sequence, l.event_id, l.type, l.key, 'pending', 0, :now FROM ({0}) m"
    " JOIN logged_event l USING (sequence) WHERE true"
    + CHOSEN.format("l").replace("{", "{{").replace("}", "}}")
    + f" ON CONFLICT (subscription_id, sequence) DO UPDATE SET {AGAIN} WHERE delivery.state <> 'pending'"
)
NAMED = (
    "SELECT l.sequence FROM logged_event l WHERE l.event_id = ANY (CAST(:ids AS uuid[]))"
    " AND l.sequence > :after AND l.sequence <= :upto AND l.type = ANY (CAST(:types AS text[]))"
    " AND l.area_code = ANY (CAST(:areas AS text[]))"
    " AND (cardinality(CAST(:departments AS text[])) = 0 OR l.department_code = ANY (CAST(:departments AS text[])))"
    " AND (cardinality(CAST(:matters AS text[])) = 0 OR l.matter_code = ANY (CAST(:matters AS text[])))"
)
TYPED = (
    bindparam("id", type_=Uuid()),
    bindparam("now", type_=DateTime(timezone=True)),
    bindparam("ids", type_=ARRAY(Uuid())),
)
REPLAY_RANGE = text(PLAY.format(MATCHING)).bindparams(*TYPED)
REPLAY_NAMED = text(PLAY.format(NAMED)).bindparams(*TYPED)
LAST = text(f"SELECT max(sequence), count(*) FROM ({MATCHING}) m")


async def redeliver(
    session: AsyncSession,
    subscription_id: UUID,
    peer_id: UUID | None,
    command: Redeliver,
    now: datetime,
) -> Redelivered:
    """Make the chosen events wait to be sent again, under the same ids, in order per key."""
    subscription = await subscriptions.get_subscription(
        session, subscription_id, peer_id, lock=True
    )
    subscription.must_send()
    peer = await peers_queries.get_peer(session, subscription.peer_id)
    scope = scope_of(peer, subscription)
    if command.event_types is not None:
        types = tuple(name for name in scope.types if name in command.event_types)
        scope = Scope(types, scope.areas, scope.departments, scope.matters)
    values = await _values(session, subscription, scope, command, now)
    answer = await (_redrive if command.which == "dead" else _replay)(session, values, command)
    audit.record(
        session,
        "delivery.redeliver",
        "subscription",
        subscription.id,
        which=command.which,
        queued=answer.queued,
        from_sequence=command.from_sequence,
        to_sequence=command.to_sequence,
    )
    return answer


async def _values(
    session: AsyncSession,
    subscription: Subscription,
    scope: Scope,
    command: Redeliver,
    now: datetime,
) -> dict[str, Any]:
    """Never beyond the cursor: what lies there comes by itself."""
    head = await log.get_head(session)
    upto = min(
        subscription.cursor, head.sequence if command.to_sequence is None else command.to_sequence
    )
    after = 0 if command.from_sequence is None else command.from_sequence - 1
    chosen = {"id": subscription.id, "ids": command.event_ids, "key": command.key, "now": now}
    return {**scope_values(scope, after, upto, BATCH), **chosen}


async def _redrive(
    session: AsyncSession, values: dict[str, Any], _command: Redeliver
) -> Redelivered:
    found = sorted((await session.execute(REDRIVE, values)).scalars())
    return Redelivered(queued=len(found), next=found[-1] + 1 if len(found) == BATCH else None)


async def _replay(session: AsyncSession, values: dict[str, Any], command: Redeliver) -> Redelivered:
    if command.event_ids is not None:
        done: Any = await session.execute(REPLAY_NAMED, values)
        return Redelivered(queued=done.rowcount, next=None)
    last, number = (await session.execute(LAST, values)).one()
    done = await session.execute(REPLAY_RANGE, values)
    return Redelivered(queued=done.rowcount, next=last + 1 if number == BATCH else None)
