"""The health of endpoints: who is told when events wait, when one is given up, and when it is back."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.events.model.delivery import ALERT_AFTER, Outcome
from services.exchange.events.model.subscription import Subscription, SubscriptionState
from services.exchange.events.queries import deliveries, subscriptions
from services.exchange.events.use_cases.deliveries import release, settle
from services.exchange.events.use_cases.subscriptions import suspend_lost
from services.exchange.peers.model import Peer
from shared.messaging import outbox

GONE = "the endpoint answered 410 Gone"
LOST = "the endpoint took nothing for 120 hours"


async def record_outcomes(
    session: AsyncSession, outcomes: Sequence[Outcome], now: datetime
) -> None:
    """What came of a set of attempts: for each delivery, and for the health of each endpoint."""
    groups: dict[UUID, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[outcome.subscription_id].append(outcome)
    # Subscriptions first, in their order: everybody who changes deliveries locks in this way.
    owners = await subscriptions.list_with_peers(session, list(groups), lock=True)
    await settle(session, outcomes, now)
    for subscription_id, group in groups.items():
        await _note(session, *owners[subscription_id], group, now)


async def _note(
    session: AsyncSession,
    subscription: Subscription,
    peer: Peer,
    group: Sequence[Outcome],
    now: datetime,
) -> None:
    failed = [outcome for outcome in group if outcome.cause is not None]
    if len(failed) < len(group):
        if subscription.note_success():
            await release(session, subscription.id, now)
        if subscription.alerted_at is not None and not await deliveries.has_failing(
            session, subscription.id
        ):
            outbox.add(session, subscription.recover(peer.code, now))
    else:
        subscription.note_failures(len(failed), now)
    gone = next((outcome for outcome in failed if outcome.gone), None)
    if subscription.state == SubscriptionState.ACTIVE and (
        gone is not None or subscription.is_lost(now)
    ):
        await suspend_lost(session, subscription, GONE if gone is not None else LOST)
        reported = gone or failed[0] if failed else group[0]
        outbox.add(
            session, subscription.alert(peer.code, reported.event_id, reported.cause or "", now)
        )


async def alert_waiting(session: AsyncSession, now: datetime) -> int:
    """Tell, once, of each subscription with an event that has failed for 15 minutes; their number."""
    waiting = {
        row.subscription_id: row
        for row in await deliveries.list_waiting_long(session, now - ALERT_AFTER)
    }
    if not waiting:
        return 0
    owners = await subscriptions.list_with_peers(session, list(waiting), lock=True)
    due = [(s, p, waiting[s.id]) for s, p in owners.values() if s.alerted_at is None]
    for subscription, peer, row in due:
        outbox.add(session, subscription.alert(peer.code, row.event_id, row.cause or "", now))
    return len(due)
