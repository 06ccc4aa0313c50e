"""Pull: a peer asks for what comes after a place in the log."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.events.model.delivery import Measure
from services.exchange.events.model.log import LogHead
from services.exchange.events.model.policy import scope_of
from services.exchange.events.model.subscription import Mode, Subscription
from services.exchange.events.queries import log, subscriptions
from services.exchange.events.queries.log import EventRow
from services.exchange.events.use_cases.deliveries import Tally, count
from services.exchange.peers.model import Peer
from shared.errors import ConflictError

MAX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Pulled:
    """Exact event bytes in the order of the log.

    `next` is the place to ask after next, `head` the newest event of the log.
    """

    payloads: list[bytes]
    next: int
    head: int


async def pull_events(
    session: AsyncSession, subscription_id: UUID, *, peer: Peer, after: int | None, limit: int
) -> Pulled:
    """The next events after `after` (None: after what was handed out last).

    From any place that is kept, as often as wanted. Raises `ConflictError` when the subscription is
    not active, or the place is not kept any more or not there yet.
    """
    # Locked: of two pulls at once the second counts nothing for the second time.
    subscription = await subscriptions.get_subscription(
        session, subscription_id, peer_id=peer.id, lock=True
    )
    subscription.must_be_active()
    head = await log.get_head(session)
    start = _start(subscription, head=head, after=after)
    wanted = log.range_of(
        scope_of(peer, subscription), after=start, upto=head.sequence, limit=limit
    )
    rows = await log.list_events(session, wanted)
    taken = _within_size(rows)
    next_cursor = head.sequence
    if len(taken) < len(rows) or len(rows) == limit:
        next_cursor = taken[-1].sequence  # There is more in this scope.
    if subscription.mode == Mode.PULL:
        await _advance(session, subscription, rows=taken, next_cursor=next_cursor)
    return Pulled([row.payload for row in taken], next_cursor, head.sequence)


async def _advance(
    session: AsyncSession,
    subscription: Subscription,
    *,
    rows: Sequence[EventRow],
    next_cursor: int,
) -> None:
    """Move the cursor, and count what is handed out for the first time."""
    if next_cursor <= subscription.cursor:
        return
    tally: Tally = Counter()
    for row in rows:
        if row.sequence > subscription.cursor:
            tally[subscription.id, row.type, Measure.SENT] += 1
            tally[subscription.id, row.type, Measure.ACKNOWLEDGED] += 1
    await count(session, tally)
    subscription.cursor = next_cursor


def _start(subscription: Subscription, *, head: LogHead, after: int | None) -> int:
    start = subscription.cursor if after is None else after
    # Whoever asks for all that is kept, or goes on where the cursor is, has not chosen a place.
    if start < head.pruned and after not in {None, 0}:
        raise ConflictError(
            "events up to {pruned} are no longer kept; ask after={pruned} to go on, and reconcile",
            pruned=head.pruned,
            extra={"oldest": head.pruned + 1},
        )
    if start > head.sequence:
        raise ConflictError(
            "the log ends at {head}", head=head.sequence, extra={"head": head.sequence}
        )
    return max(start, head.pruned)


def _within_size(rows: Sequence[EventRow]) -> Sequence[EventRow]:
    """As many rows as fit into `MAX_BYTES`, at least one."""
    size = 0
    for place, row in enumerate(rows):
        size += len(row.payload)
        # A single event may be larger: it goes alone.
        if size > MAX_BYTES and place:
            return rows[:place]
    return rows
