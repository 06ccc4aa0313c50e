"""Every SELECT about deliveries and what is counted of them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.events.model.delivery import Delivery, DeliveryState, Statistic
from services.exchange.events.model.subscription import Subscription
from services.exchange.peers.model import Peer

FRESH = text(
    "SELECT count(*) FROM (SELECT FROM delivery WHERE subscription_id = :id AND state = 'pending'"
    " AND next_attempt_at <= :until AND attempts = 0 LIMIT :most) ready"
)
WAITS_LONG = text(
    "SELECT DISTINCT ON (d.subscription_id) d.subscription_id, d.event_id, d.cause FROM delivery d"
    " JOIN subscription s ON s.id = d.subscription_id AND s.alerted_at IS NULL AND s.state = 'active'"
    " WHERE d.state = 'pending' AND d.first_failed_at <= :before ORDER BY d.subscription_id, d.sequence"
)
FAILING = text(
    "SELECT EXISTS (SELECT FROM delivery WHERE subscription_id = :id AND state = 'pending'"
    " AND first_failed_at IS NOT NULL)"
)
LOADS = text(
    "SELECT s.id AS subscription_id, p.code AS peer_code, s.name, s.mode, s.state, s.failing_since,"
    " coalesce(w.waiting, 0) AS in_flight, coalesce(w.failing, 0) AS failing,"
    " (SELECT count(*) FROM delivery d WHERE d.subscription_id = s.id AND d.state = 'dead') AS dead,"
    " greatest(0, (SELECT sequence FROM log_head) - least(s.cursor, coalesce(w.first - 1, s.cursor))) AS lag"
    " FROM subscription s JOIN peer p ON p.id = s.peer_id"
    " LEFT JOIN LATERAL (SELECT count(*) AS waiting, count(d.first_failed_at) AS failing, min(d.sequence) AS first"
    "  FROM delivery d WHERE d.subscription_id = s.id AND d.state = 'pending') w ON true"
    " WHERE (CAST(:peer AS uuid) IS NULL OR s.peer_id = :peer) AND s.state <> 'ended' ORDER BY s.id"
)
"""What waits is bounded (`use_cases.deliveries.WINDOW`), so it may be counted."""


async def list_deliveries(
    session: AsyncSession,
    subscription_id: UUID,
    state: DeliveryState | None,
    after: int,
    limit: int,
) -> Sequence[Delivery]:
    """In the order of the log."""
    statement = select(Delivery).where(
        Delivery.subscription_id == subscription_id, Delivery.sequence > after
    )
    if state is not None:
        statement = statement.where(Delivery.state == state)
    return (await session.scalars(statement.order_by(Delivery.sequence).limit(limit + 1))).all()


async def count_fresh(
    session: AsyncSession, subscription_id: UUID, until: datetime, most: int
) -> int:
    """How many wait for their first attempt by `until`, counted up to `most`."""
    return await session.scalar(FRESH, {"id": subscription_id, "until": until, "most": most}) or 0


async def list_waiting_long(session: AsyncSession, before: datetime) -> Sequence[Any]:
    """One event that has failed since `before`, of each active subscription of which nobody was told yet."""
    return (await session.execute(WAITS_LONG, {"before": before})).all()


async def has_failing(session: AsyncSession, subscription_id: UUID) -> bool:
    return bool(await session.scalar(FAILING, {"id": subscription_id}))


async def list_statistics(session: AsyncSession, peer_id: UUID | None) -> Sequence[Any]:
    """Peer, type, measure, number; the counters are few: subscriptions × types × measures."""
    columns = (Peer.code, Statistic.type, Statistic.measure, Statistic.number)
    joined = select(*columns).join(Subscription, Subscription.id == Statistic.subscription_id)
    statement = joined.join(Peer, Peer.id == Subscription.peer_id).order_by(
        Peer.code, Statistic.type
    )
    if peer_id is not None:
        statement = statement.where(Peer.id == peer_id)
    return (await session.execute(statement)).all()


async def list_loads(session: AsyncSession, peer_id: UUID | None) -> Sequence[Any]:
    return (await session.execute(LOADS, {"peer": peer_id})).mappings().all()
