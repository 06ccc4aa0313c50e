"""Pull: a peer asks for what comes after a place in the log."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.events.model.log import LogHead
from services.exchange.events.model.policy import scope_of
from services.exchange.events.model.subscription import Mode, Subscription, SubscriptionState
from services.exchange.events.queries import log, subscriptions
from services.exchange.events.use_cases.deliveries import count
from services.exchange.peers.model import Peer
from shared.errors import ConflictError

MAX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Pulled:
    """Exact event bytes in the order of the log, the place to ask after next, and the newest of the log."""

    payloads: list[bytes]
    next: int
    head: int


async def pull_events(
    session: AsyncSession, subscription_id: UUID, peer: Peer, after: int | None, limit: int
) -> Pulled:
    """The next events after `after` (None: after what was handed out last). From any place that is kept, as often as wanted."""
    subscription = await subscriptions.get_subscription(
        session, subscription_id, peer.id, lock=True
    )
    if subscription.state != SubscriptionState.ACTIVE:
        subscription.must_await_activation()
        raise ConflictError(
            f"the subscription is {subscription.state}", extra={"allowed": ["activation", "end"]}
        )
    head = await log.get_head(session)
    start = _start(subscription, head, after)
    rows = await log.list_events(session, scope_of(peer, subscription), start, head.sequence, limit)
    taken = _within(rows)
    following = head.sequence if len(taken) == len(rows) < limit else taken[-1].sequence
    if subscription.mode == Mode.PULL and following > subscription.cursor:
        new = Counter(row.type for row in taken if row.sequence > subscription.cursor)
        await count(
            session,
            Counter(
                {
                    (subscription.id, t, m): n
                    for t, n in new.items()
                    for m in ("sent", "acknowledged")
                }
            ),
        )
        subscription.cursor = following
    return Pulled([row.payload for row in taken], following, head.sequence)


def _start(subscription: Subscription, head: LogHead, after: int | None) -> int:
    start = subscription.cursor if after is None else after
    if start < head.pruned and after not in {None, 0}:
        words = f"events up to {head.pruned} are no longer kept; ask after={head.pruned} to go on, and reconcile"
        raise ConflictError(words, extra={"oldest": head.pruned + 1})
    if start > head.sequence:
        raise ConflictError(f"the log ends at {head.sequence}", extra={"head": head.sequence})
    return max(start, head.pruned)


def _within(rows: Sequence[Any]) -> Sequence[Any]:
    size = 0
    for place, row in enumerate(rows):
        size += len(row.payload)
        if size > MAX_BYTES and place:
            return rows[:place]
    return rows
