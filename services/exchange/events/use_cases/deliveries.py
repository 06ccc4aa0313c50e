"""Deliveries: written when their turn comes, claimed by workers, and updated in sets.

The state is small: a cursor per subscription over the log, and rows for what is under way. A worker
that dies leaves its claims to expire, and the same event goes out again under the same id.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.events.model.delivery import LEASE, DeliveryState, Measure, Outcome
from services.exchange.events.model.policy import Scope, scope_of
from services.exchange.events.model.subscription import PROBE_EVERY, Subscription
from services.exchange.events.queries import deliveries, log, subscriptions
from services.exchange.events.queries.deliveries import NumberRow
from services.exchange.events.queries.log import IN_SCOPE, MATCHING
from services.exchange.peers.model import Peer
from shared.database.direct import Direct, command

WINDOW = 500
"""Deliveries of one subscription that may be ready at once; its other events stay in the log."""


class ClaimedRow(NamedTuple):
    subscription_id: UUID
    sequence: int
    event_id: UUID
    type: str
    key: str
    attempts: int
    first_failed_at: datetime | None


FOLLOW = command(
    "INSERT INTO delivery"
    " (subscription_id, sequence, event_id, type, key, state, attempts, next_attempt_at)"
    " SELECT CAST(:id AS uuid), l.sequence, l.event_id, l.type, l.key, 'pending', 0,"
    "  greatest(CAST(:now AS timestamptz), (SELECT max(p.next_attempt_at) FROM delivery p"
    "   WHERE p.subscription_id = CAST(:id AS uuid) AND p.key = l.key"
    "   AND p.state = 'pending' AND p.attempts > 0))"
    f" FROM ({MATCHING}) m JOIN logged_event l USING (sequence)"
    " ON CONFLICT (subscription_id, sequence) DO NOTHING"
)
# The first due of each key, some of each subscription, in no fixed order of subscriptions: none of
# them makes another wait.
CLAIM = Direct(
    "WITH due AS (SELECT d.subscription_id, d.sequence FROM"
    " (SELECT s.id FROM subscription s JOIN peer p ON p.id = s.peer_id AND p.active"
    "  WHERE s.state = 'active' AND s.mode = 'webhook'"
    "  AND NOT (s.id = ANY (CAST(:busy AS uuid[]))) ORDER BY random()) s"
    " CROSS JOIN LATERAL (SELECT d.subscription_id, d.sequence FROM delivery d"
    "  WHERE d.subscription_id = s.id AND d.state = 'pending' AND d.next_attempt_at <= :now"
    "  AND NOT EXISTS (SELECT FROM delivery e WHERE e.subscription_id = d.subscription_id"
    "   AND e.key = d.key AND e.state = 'pending' AND e.sequence < d.sequence)"
    "  ORDER BY d.next_attempt_at, d.sequence LIMIT :each FOR UPDATE OF d SKIP LOCKED) d"
    " LIMIT :slots)"
    " UPDATE delivery d SET next_attempt_at = :lease FROM due"
    " WHERE d.subscription_id = due.subscription_id AND d.sequence = due.sequence"
    " RETURNING d.subscription_id, d.sequence, d.event_id, d.type, d.key, d.attempts,"
    "  d.first_failed_at",
    ClaimedRow,
)
UPDATE_OUTCOMES = command(
    "UPDATE delivery d SET attempts = d.attempts + 1, state = o.state, last_status = o.status,"
    " cause = o.cause, next_attempt_at = o.next_at,"
    " first_failed_at = CASE WHEN o.cause IS NULL THEN d.first_failed_at"
    "  ELSE coalesce(d.first_failed_at, CAST(:now AS timestamptz)) END,"
    " delivered_at = CASE WHEN o.state = 'delivered' THEN CAST(:now AS timestamptz) END"
    " FROM unnest(CAST(:subscriptions AS uuid[]), CAST(:sequences AS bigint[]),"
    "  CAST(:statuses AS int[]), CAST(:causes AS text[]), CAST(:nexts AS timestamptz[]),"
    "  CAST(:states AS text[])) AS o (subscription_id, sequence, status, cause, next_at, state)"
    " WHERE d.subscription_id = o.subscription_id AND d.sequence = o.sequence"
    "  AND d.state = 'pending'"
)
# Those behind a failed one wait as long as it does, so that no claim has to pass over them.
MOVE_FOLLOWERS = command(
    "UPDATE delivery d SET next_attempt_at = o.next_at"
    " FROM unnest(CAST(:subscriptions AS uuid[]), CAST(:keys AS text[]),"
    "  CAST(:nexts AS timestamptz[])) AS o (subscription_id, key, next_at)"
    " WHERE d.subscription_id = o.subscription_id AND d.key = o.key"
    "  AND d.state = 'pending' AND d.attempts = 0"
)
RELEASE = command(
    "UPDATE delivery SET next_attempt_at = :now"
    " WHERE subscription_id = :id AND state = 'pending' AND next_attempt_at > :lease"
)
COUNT = command(
    "INSERT INTO delivery_statistic (subscription_id, type, measure, number)"
    " SELECT * FROM unnest(CAST(:subscriptions AS uuid[]), CAST(:types AS text[]),"
    "  CAST(:measures AS text[]), CAST(:numbers AS bigint[]))"
    " ON CONFLICT (subscription_id, type, measure)"
    "  DO UPDATE SET number = delivery_statistic.number + excluded.number"
)
CANCEL = Direct(
    "WITH done AS (UPDATE delivery d SET state = 'cancelled', cause = 'not_allowed'"
    " WHERE d.subscription_id = :id AND d.state IN ('pending', 'dead')"
    " AND NOT EXISTS (SELECT FROM logged_event l WHERE l.sequence = d.sequence"
    + IN_SCOPE
    + ") RETURNING 1) SELECT count(*) AS number FROM done",
    NumberRow,
)
CANCEL_CLAIMED = command(
    "UPDATE delivery d SET state = 'cancelled', cause = 'not_allowed'"
    " FROM unnest(CAST(:subscriptions AS uuid[]), CAST(:sequences AS bigint[]))"
    "  AS o (subscription_id, sequence)"
    " WHERE d.subscription_id = o.subscription_id AND d.sequence = o.sequence"
    "  AND d.state = 'pending'"
)
BURY = Direct(
    "WITH done AS (UPDATE delivery SET state = 'dead', cause = :cause"
    " WHERE subscription_id = :id AND state = 'pending' RETURNING 1)"
    " SELECT count(*) AS number FROM done",
    NumberRow,
)
REVIVE = Direct(
    "WITH done AS (UPDATE delivery SET state = 'pending', attempts = 0, first_failed_at = NULL,"
    " next_attempt_at = :now"
    " WHERE subscription_id = :id AND state = 'dead' AND cause = :cause RETURNING 1)"
    " SELECT count(*) AS number FROM done",
    NumberRow,
)

Tally = Counter[tuple[UUID, str, str]]
"""Subscription, event type and measure → number."""
Owners = dict[UUID, tuple[Subscription, Peer]]
"""Subscriptions with their peers, by id."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that this worker sends now, with the bytes that go out."""

    outcome: Outcome
    payload: bytes


async def follow_log(session: AsyncSession, subscription_id: UUID, *, now: datetime) -> int:
    """Write the next deliveries of a webhook as far as its window reaches; their number.

    While the endpoint is down, one event every five minutes tries it, and the rest waits in the
    log.
    """
    found = await subscriptions.claim_subscription(session, subscription_id)
    if found is None:
        return 0
    subscription, peer = found
    room = await _room_for(session, subscription, now=now)
    if room == 0:
        return 0
    head = await log.get_head(session)
    wanted = log.range_of(
        scope_of(peer, subscription), after=subscription.cursor, upto=head.sequence, limit=room
    )
    match = await log.find_last_match(session, wanted)
    if match.number:
        await FOLLOW.execute(session, id=subscription_id, now=now, **wanted)
    if match.last is not None and match.number == room:
        # The window is full: the next look begins behind the last match.
        subscription.cursor = match.last
    else:
        # Everything up to the head is written now, or outside the scope.
        subscription.cursor = head.sequence
    return match.number


async def _room_for(session: AsyncSession, subscription: Subscription, *, now: datetime) -> int:
    """How many deliveries may be written now; 0 when it is not worth while."""
    if subscription.is_down:
        if subscription.probe_at is not None and subscription.probe_at > now:
            return 0
        # One event tries the endpoint; a window of them would only wait and fail.
        subscription.probe_at = now + PROBE_EVERY
        return 1
    fresh = await deliveries.count_fresh(session, subscription.id, until=now + LEASE, most=WINDOW)
    room = WINDOW - fresh
    # Half a window at a time: a few rows are not worth a statement.
    if room < WINDOW // 2:
        return 0
    return room


async def claim(
    session: AsyncSession, *, slots: int, each: int, busy: Collection[UUID], now: datetime
) -> tuple[list[Claimed], Owners]:
    """Up to `slots` deliveries for this worker, `each` of one subscription, none of `busy` ones.

    With their subscriptions and peers. What a peer may no longer see is cancelled.
    """
    rows = await CLAIM.fetch(
        session, slots=slots, each=each, busy=list(busy), now=now, lease=now + LEASE
    )
    if not rows:
        return [], {}
    owners = await subscriptions.find_with_peers(session, {row.subscription_id for row in rows})
    events = await log.list_payloads(session, [row.sequence for row in rows])
    claimed: list[Claimed] = []
    forbidden: list[ClaimedRow] = []
    for row in rows:
        event = events.get(row.sequence)
        # Rights may have changed since the delivery was written.
        if event is not None and _may_see(*owners[row.subscription_id], row=row, event=event):
            claimed.append(Claimed(Outcome(*row), event.payload))
        else:
            forbidden.append(row)
    await _cancel_claimed(session, forbidden)
    return claimed, owners


async def _cancel_claimed(session: AsyncSession, rows: Sequence[ClaimedRow]) -> None:
    if rows:
        await CANCEL_CLAIMED.execute(
            session,
            subscriptions=[row.subscription_id for row in rows],
            sequences=[row.sequence for row in rows],
        )


def _may_see(
    subscription: Subscription, peer: Peer, *, row: ClaimedRow, event: log.PayloadRow
) -> bool:
    return scope_of(peer, subscription).covers(
        row.type,
        area=event.area_code,
        department=event.department_code,
        matter=event.matter_code,
    )


class Written(NamedTuple):
    """An outcome with the state that it leads to, and when the next attempt is due."""

    outcome: Outcome
    state: DeliveryState
    next_attempt: datetime


async def write_outcomes(
    session: AsyncSession, outcomes: Sequence[Outcome], *, now: datetime
) -> None:
    """Write the results of these attempts in a few statements, and count them."""
    written: list[Written] = []
    tally: Tally = Counter()
    # In one order everywhere, so that two workers never wait for each other's rows.
    for outcome in sorted(outcomes, key=lambda one: (one.subscription_id, one.sequence)):
        written.append(_written(outcome, now))
        _count_outcome(outcome, tally)
    await UPDATE_OUTCOMES.execute(
        session,
        subscriptions=[one.outcome.subscription_id for one in written],
        sequences=[one.outcome.sequence for one in written],
        statuses=[one.outcome.status for one in written],
        causes=[one.outcome.cause for one in written],
        nexts=[one.next_attempt for one in written],
        states=[one.state for one in written],
        now=now,
    )
    await _move_followers(session, written, now=now)
    await count(session, tally)


def _written(outcome: Outcome, now: datetime) -> Written:
    next_attempt = now
    if outcome.cause is not None:
        next_attempt = outcome.next_attempt(now)
    return Written(outcome, outcome.state_after(now), next_attempt)


async def _move_followers(
    session: AsyncSession, written: Sequence[Written], *, now: datetime
) -> None:
    """Those behind a failed one wait with it; after a success or the last failure they are due."""
    moved = [one for one in written if one.outcome.cause is not None or one.outcome.attempts > 0]
    if not moved:
        return
    nexts: list[datetime] = []
    for one in moved:
        due = now
        if one.state == DeliveryState.PENDING:
            due = one.next_attempt
        nexts.append(due)
    await MOVE_FOLLOWERS.execute(
        session,
        subscriptions=[one.outcome.subscription_id for one in moved],
        keys=[one.outcome.key for one in moved],
        nexts=nexts,
    )


def _count_outcome(outcome: Outcome, tally: Tally) -> None:
    measure: str = Measure.ACKNOWLEDGED
    if outcome.cause is not None:
        measure = f"{Measure.REJECTED}:{outcome.cause}"
    tally[outcome.subscription_id, outcome.type, Measure.SENT] += 1
    tally[outcome.subscription_id, outcome.type, measure] += 1


async def count(session: AsyncSession, tally: Tally) -> None:
    """Add to the counters, in one statement."""
    if not tally:
        return
    subscription_ids: list[UUID] = []
    types: list[str] = []
    measures: list[str] = []
    numbers: list[int] = []
    # In one order everywhere, so that two workers never wait for each other's rows.
    for cell in sorted(tally):
        subscription_id, event_type, measure = cell
        subscription_ids.append(subscription_id)
        types.append(event_type)
        measures.append(measure)
        numbers.append(tally[cell])
    await COUNT.execute(
        session, subscriptions=subscription_ids, types=types, measures=measures, numbers=numbers
    )


async def release(session: AsyncSession, subscription_id: UUID, *, now: datetime) -> None:
    """The endpoint is back after it was down: what waits for a later attempt is due now.

    What is under way keeps its lease.
    """
    await RELEASE.execute(session, id=subscription_id, now=now, lease=now + LEASE)


async def cancel_forbidden(
    session: AsyncSession, peer: Peer, *, ended: Sequence[Subscription] = ()
) -> int:
    """Cancel what waits for a peer that may not see it any more; the number cancelled.

    Of `ended` subscriptions all is cancelled.
    """
    number = 0
    for subscription in await subscriptions.lock_subscriptions_of(session, peer.id):
        number += await _cancel(session, subscription, scope=scope_of(peer, subscription))
    for subscription in ended:
        number += await _cancel(session, subscription, scope=Scope())
    return number


async def _cancel(session: AsyncSession, subscription: Subscription, *, scope: Scope) -> int:
    done = await CANCEL.first(
        session,
        id=subscription.id,
        types=list(scope.types),
        areas=list(scope.areas),
        departments=list(scope.departments),
        matters=list(scope.matters),
    )
    assert done is not None, "a count has a row"
    return done.number


async def bury(session: AsyncSession, subscription_id: UUID, *, cause: str) -> int:
    """What waits becomes dead letters; their number."""
    done = await BURY.first(session, id=subscription_id, cause=cause)
    assert done is not None, "a count has a row"
    return done.number


async def revive(session: AsyncSession, subscription_id: UUID, *, cause: str, now: datetime) -> int:
    """Dead letters of this cause wait again; their number."""
    done = await REVIVE.first(session, id=subscription_id, cause=cause, now=now)
    assert done is not None, "a count has a row"
    return done.number
