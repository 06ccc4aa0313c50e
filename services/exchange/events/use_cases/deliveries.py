"""Deliveries: written when their turn comes, claimed by workers, settled in sets; dead ones driven again.

The state is small: a cursor per subscription over the log, and rows for what is under way. A worker that dies leaves its
claims to expire, and the same event goes out again under the same id.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, DateTime, Integer, Text, Uuid, bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.events.model.delivery import LEASE, Outcome
from services.exchange.events.model.policy import Scope, scope_of
from services.exchange.events.model.subscription import PROBE_EVERY, Subscription
from services.exchange.events.queries import deliveries, log
from services.exchange.events.queries import subscriptions as queries_subscriptions
from services.exchange.events.queries.log import MATCHING, scope_values
from services.exchange.peers.model import Peer

WINDOW = 500
"""Deliveries of one subscription that may be ready at once; the rest of its backlog stays in the log."""

FOLLOW = text(
    "INSERT INTO delivery (subscription_id, sequence, event_id, type, key, state, attempts, next_attempt_at)"
    " SELECT :id, l.sequence, l.event_id, l.type, l.key, 'pending', 0,"
    "  greatest(:now, (SELECT max(p.next_attempt_at) FROM delivery p WHERE p.subscription_id = :id AND p.key = l.key"
    "   AND p.state = 'pending' AND p.attempts > 0))"
    f" FROM ({MATCHING}) m JOIN logged_event l USING (sequence)"
    " ON CONFLICT (subscription_id, sequence) DO NOTHING"
).bindparams(bindparam("id", type_=Uuid()), bindparam("now", type_=DateTime(timezone=True)))
LAST_MATCH = text(f"SELECT max(sequence), count(*) FROM ({MATCHING}) m")
CLAIM = text(
    "WITH due AS (SELECT d.subscription_id, d.sequence FROM"
    " (SELECT s.id FROM subscription s JOIN peer p ON p.id = s.peer_id AND p.active"
    "  WHERE s.state = 'active' AND s.mode = 'webhook' AND NOT (s.id = ANY (:busy)) ORDER BY random()) s"
    " CROSS JOIN LATERAL (SELECT d.subscription_id, d.sequence FROM delivery d WHERE d.subscription_id = s.id"
    "  AND d.state = 'pending' AND d.next_attempt_at <= :now AND NOT EXISTS (SELECT FROM delivery e"
    "   WHERE e.subscription_id = d.subscription_id AND e.key = d.key AND e.state = 'pending' AND e.sequence < d.sequence)"
    "  ORDER BY d.next_attempt_at, d.sequence LIMIT :each FOR UPDATE OF d SKIP LOCKED) d LIMIT :slots)"
    " UPDATE delivery d SET next_attempt_at = :lease FROM due"
    " WHERE d.subscription_id = due.subscription_id AND d.sequence = due.sequence RETURNING d.subscription_id,"
    " d.sequence, d.event_id, d.type, d.key, d.attempts, d.first_failed_at"
).bindparams(bindparam("busy", type_=ARRAY(Uuid())))
"""The first due of each key, some of each subscription, in no fixed order of subscriptions: none starves another."""

OUTCOMES = (
    " FROM unnest(CAST(:subscriptions AS uuid[]), CAST(:sequences AS bigint[]), CAST(:statuses AS int[]),"
    " CAST(:causes AS text[]), CAST(:nexts AS timestamptz[]), CAST(:states AS text[]))"
    " AS o (subscription_id, sequence, status, cause, next_at, state)"
    " WHERE d.subscription_id = o.subscription_id AND d.sequence = o.sequence AND d.state = 'pending'"
)
SETTLE = text(
    "UPDATE delivery d SET attempts = d.attempts + 1, state = o.state, last_status = o.status, cause = o.cause,"
    " next_attempt_at = o.next_at,"
    " first_failed_at = CASE WHEN o.cause IS NULL THEN d.first_failed_at ELSE coalesce(d.first_failed_at, :now) END,"
    " delivered_at = CASE WHEN o.state = 'delivered' THEN :now END" + OUTCOMES
).bindparams(
    bindparam("subscriptions", type_=ARRAY(Uuid())),
    bindparam("sequences", type_=ARRAY(BigInteger())),
    bindparam("statuses", type_=ARRAY(Integer())),
    bindparam("causes", type_=ARRAY(Text())),
    bindparam("nexts", type_=ARRAY(DateTime(timezone=True))),
    bindparam("states", type_=ARRAY(Text())),
)
FOLLOWERS = text(
    "UPDATE delivery d SET next_attempt_at = o.next_at"
    " FROM unnest(CAST(:subscriptions AS uuid[]), CAST(:keys AS text[]), CAST(:nexts AS timestamptz[]))"
    " AS o (subscription_id, key, next_at)"
    " WHERE d.subscription_id = o.subscription_id AND d.key = o.key AND d.state = 'pending' AND d.attempts = 0"
)
"""Those behind a failed one wait as long as it does, so that no claim has to pass over them."""
RELEASE = text(
    "UPDATE delivery SET next_attempt_at = :now"
    " WHERE subscription_id = :id AND state = 'pending' AND next_attempt_at > :lease"
)
"""The endpoint is back: nobody waits out a schedule. What is under way keeps its lease."""
COUNT = text(
    "INSERT INTO delivery_statistic (subscription_id, type, measure, number)"
    " SELECT * FROM unnest(CAST(:subscriptions AS uuid[]), CAST(:types AS text[]), CAST(:measures AS text[]),"
    "  CAST(:numbers AS bigint[]))"
    " ON CONFLICT (subscription_id, type, measure) DO UPDATE SET number = delivery_statistic.number + excluded.number"
)
CANCEL = text(
    "UPDATE delivery d SET state = 'cancelled', cause = 'not_allowed' WHERE d.subscription_id = :id"
    " AND d.state IN ('pending', 'dead') AND NOT EXISTS (SELECT FROM logged_event l WHERE l.sequence = d.sequence"
    "  AND l.type = ANY (CAST(:types AS text[])) AND l.area_code = ANY (CAST(:areas AS text[]))"
    "  AND (cardinality(CAST(:departments AS text[])) = 0 OR l.department_code = ANY (CAST(:departments AS text[])))"
    "  AND (cardinality(CAST(:matters AS text[])) = 0 OR l.matter_code = ANY (CAST(:matters AS text[]))))"
)
CANCEL_ONE = text(
    "UPDATE delivery d SET state = 'cancelled', cause = 'not_allowed'"
    " FROM unnest(CAST(:subscriptions AS uuid[]), CAST(:sequences AS bigint[])) AS o (subscription_id, sequence)"
    " WHERE d.subscription_id = o.subscription_id AND d.sequence = o.sequence AND d.state = 'pending'"
)
BURY = text(
    "UPDATE delivery SET state = 'dead', cause = :cause WHERE subscription_id = :id AND state = 'pending'"
)
REVIVE = text(
    "UPDATE delivery SET state = 'pending', attempts = 0, first_failed_at = NULL, next_attempt_at = :now"
    " WHERE subscription_id = :id AND state = 'dead' AND cause = :cause"
)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that this worker sends now, with the bytes that go out."""

    outcome: Outcome
    payload: bytes


async def follow_log(session: AsyncSession, subscription_id: UUID, now: datetime) -> int:
    """Write the next deliveries of a webhook as far as its window reaches; their number.

    While the endpoint is down, one event every five minutes tries it, and the rest waits in the log.
    """
    found = await queries_subscriptions.claim_subscription(session, subscription_id)
    if found is None:
        return 0
    subscription, peer = found
    if subscription.is_down:
        if subscription.probe_at is not None and subscription.probe_at > now:
            return 0
        subscription.probe_at, room = now + PROBE_EVERY, 1
    else:
        room = WINDOW - await deliveries.count_fresh(session, subscription_id, now + LEASE, WINDOW)
        if room < WINDOW // 2:
            return 0
    head = await log.get_head(session)
    values = scope_values(scope_of(peer, subscription), subscription.cursor, head.sequence, room)
    last, number = (await session.execute(LAST_MATCH, values)).one()
    if number:
        _ = await session.execute(FOLLOW, {**values, "id": subscription_id, "now": now})
    subscription.cursor = last if number == room else head.sequence
    return number


async def claim(
    session: AsyncSession, slots: int, each: int, busy: Sequence[UUID], now: datetime
) -> tuple[list[Claimed], dict[UUID, tuple[Subscription, Peer]]]:
    """Deliveries for this worker, with their subscriptions and peers; what a peer may no longer see is cancelled."""
    values = {"slots": slots, "each": each, "busy": list(busy), "now": now, "lease": now + LEASE}
    rows = (await session.execute(CLAIM, values)).mappings().all()
    if not rows:
        return [], {}
    owners = await queries_subscriptions.list_with_peers(
        session, list({row["subscription_id"] for row in rows})
    )
    logged = await log.list_payloads(session, [row["sequence"] for row in rows])
    claimed: list[Claimed] = []
    refused: list[Any] = []
    for row in rows:
        event = logged.get(row["sequence"])
        subscription, peer = owners[row["subscription_id"]]
        place = () if event is None else (event.area_code, event.department_code, event.matter_code)
        if event is not None and scope_of(peer, subscription).covers(row["type"], *place):
            claimed.append(Claimed(Outcome(**row), event.payload))
        else:
            refused.append(row)
    if refused:
        ids = {
            "subscriptions": [r["subscription_id"] for r in refused],
            "sequences": [r["sequence"] for r in refused],
        }
        _ = await session.execute(CANCEL_ONE, ids)
    return claimed, owners


async def settle(session: AsyncSession, outcomes: Sequence[Outcome], now: datetime) -> None:
    """Write what came of these attempts in a few statements, and count it."""
    rows = sorted(outcomes, key=lambda o: (o.subscription_id, o.sequence))
    nexts = [now if o.cause is None else o.next_attempt(now) for o in rows]
    states = [
        "delivered" if o.cause is None else "dead" if o.is_hopeless(now) else "pending"
        for o in rows
    ]
    subscriptions = [o.subscription_id for o in rows]
    _ = await session.execute(
        SETTLE,
        {
            "subscriptions": subscriptions,
            "sequences": [o.sequence for o in rows],
            "statuses": [o.status for o in rows],
            "causes": [o.cause for o in rows],
            "nexts": nexts,
            "states": states,
            "now": now,
        },
    )
    moved = [
        (o.subscription_id, o.key, at if state == "pending" else now)
        for o, at, state in zip(rows, nexts, states, strict=True)
        if o.cause is not None or o.attempts > 0
    ]
    if moved:
        columns = zip(("subscriptions", "keys", "nexts"), zip(*moved, strict=True), strict=True)
        _ = await session.execute(FOLLOWERS, {name: list(values) for name, values in columns})
    await count(session, _tally(rows))


def _tally(outcomes: Sequence[Outcome]) -> Counter[tuple[UUID, str, str]]:
    tally: Counter[tuple[UUID, str, str]] = Counter()
    for o in outcomes:
        tally[o.subscription_id, o.type, "sent"] += 1
        tally[
            o.subscription_id, o.type, "acknowledged" if o.cause is None else f"rejected:{o.cause}"
        ] += 1
    return tally


async def count(session: AsyncSession, tally: Counter[tuple[UUID, str, str]]) -> None:
    """Add to the counters; in one order, so that two workers never wait for each other crosswise."""
    if tally:
        entries = sorted((*key, number) for key, number in tally.items())
        columns = zip(
            ("subscriptions", "types", "measures", "numbers"),
            zip(*entries, strict=True),
            strict=True,
        )
        _ = await session.execute(COUNT, {name: list(values) for name, values in columns})


async def release(session: AsyncSession, subscription_id: UUID, now: datetime) -> None:
    """The endpoint is back after it was down: what waits for a later attempt is due now."""
    _ = await session.execute(RELEASE, {"id": subscription_id, "now": now, "lease": now + LEASE})


async def cancel_forbidden(
    session: AsyncSession, peer: Peer, ended: Sequence[Subscription] = ()
) -> int:
    """Cancel what waits for a peer that may not see it any more, and all of ended subscriptions; the number cancelled."""
    number = 0
    scopes = [
        (s.id, scope_of(peer, s))
        for s in await queries_subscriptions.list_of_peer(session, peer.id)
    ]
    scopes += [(s.id, Scope()) for s in ended]
    for subscription_id, scope in scopes:
        values = {
            name: list(getattr(scope, name))
            for name in ("types", "areas", "departments", "matters")
        }
        done: Any = await session.execute(CANCEL, {"id": subscription_id, **values})
        number += done.rowcount
    return number


async def bury(session: AsyncSession, subscription_id: UUID, cause: str) -> int:
    """What waits becomes dead letters; their number."""
    done: Any = await session.execute(BURY, {"id": subscription_id, "cause": cause})
    return done.rowcount


async def revive(session: AsyncSession, subscription_id: UUID, cause: str, now: datetime) -> int:
    """Dead letters of this cause wait again; their number."""
    done: Any = await session.execute(REVIVE, {"id": subscription_id, "cause": cause, "now": now})
    return done.rowcount
