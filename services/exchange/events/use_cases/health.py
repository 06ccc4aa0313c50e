"""The health of endpoints: alerts when events wait, when one is given up, when it is back."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.events.model.delivery import ALERT_AFTER, Outcome
from services.exchange.events.model.subscription import Subscription, SubscriptionState
from services.exchange.events.queries import deliveries, subscriptions
from services.exchange.events.use_cases.deliveries import release, write_outcomes
from services.exchange.events.use_cases.subscriptions import suspend_lost
from services.exchange.peers.model import Peer
from shared.messaging import outbox

GONE = "the endpoint answered 410 Gone"
LOST = "the endpoint took nothing for 120 hours"


async def record_outcomes(
    session: AsyncSession, outcomes: Sequence[Outcome], *, now: datetime
) -> None:
    """Write the results of attempts for each delivery, and for the health of each endpoint."""
    groups: dict[UUID, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[outcome.subscription_id].append(outcome)
    # Subscriptions first, in their order: everybody who changes deliveries locks in this way.
    owners = await subscriptions.find_with_peers(session, list(groups), lock=True)
    await write_outcomes(session, outcomes, now=now)
    for subscription_id, group in groups.items():
        subscription, peer = owners[subscription_id]
        await _update_health(session, subscription, peer=peer, group=group, now=now)


async def _update_health(
    session: AsyncSession,
    subscription: Subscription,
    *,
    peer: Peer,
    group: Sequence[Outcome],
    now: datetime,
) -> None:
    failed = [outcome for outcome in group if outcome.cause is not None]
    if len(failed) < len(group):
        await _note_success(session, subscription, peer=peer, now=now)
    else:
        subscription.note_failures(len(failed), now=now)
    if subscription.state != SubscriptionState.ACTIVE:
        return
    gone = [outcome for outcome in failed if outcome.gone]
    if gone:
        reason, reported = GONE, gone[0]
    elif subscription.is_lost(now):
        reason, reported = LOST, group[0]
    else:
        return
    await suspend_lost(session, subscription, reason=reason)
    alert = subscription.alert(
        peer.code, event_id=reported.event_id, cause=reported.cause or "", now=now
    )
    outbox.add(session, alert)


async def _note_success(
    session: AsyncSession, subscription: Subscription, *, peer: Peer, now: datetime
) -> None:
    was_down = subscription.note_success()
    if was_down:
        await release(session, subscription.id, now=now)
    if subscription.alerted_at is None:
        return
    if not await deliveries.has_failing(session, subscription.id):
        outbox.add(session, subscription.recover(peer.code, now=now))


async def alert_waiting(session: AsyncSession, now: datetime) -> int:
    """Alert, once, of each subscription with an event that has failed for 15 minutes.

    The number of alerts.
    """
    waiting = await deliveries.list_waiting_long(session, now - ALERT_AFTER)
    if not waiting:
        return 0
    by_subscription = {row.subscription_id: row for row in waiting}
    owners = await subscriptions.find_with_peers(session, list(by_subscription), lock=True)
    number = 0
    for subscription, peer in owners.values():
        # Another worker may have alerted before this one got the lock.
        if subscription.alerted_at is not None:
            continue
        row = by_subscription[subscription.id]
        alert = subscription.alert(peer.code, event_id=row.event_id, cause=row.cause or "", now=now)
        outbox.add(session, alert)
        number += 1
    return number
