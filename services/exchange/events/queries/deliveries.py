"""Every SELECT about deliveries and what is counted of them."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.events.model.delivery import Delivery, DeliveryState, Statistic
from services.exchange.events.model.subscription import Subscription
from services.exchange.peers.model import Peer
from shared.database.direct import Direct


class NumberRow(NamedTuple):
    number: int


class FoundRow(NamedTuple):
    found: bool


class WaitingRow(NamedTuple):
    """An event that has failed for long; `cause` of its last attempt."""

    subscription_id: UUID
    event_id: UUID
    cause: str | None


class StatisticRow(NamedTuple):
    peer_code: str
    type: str
    measure: str
    number: int


class LoadRow(NamedTuple):
    """What waits for one subscription."""

    subscription_id: UUID
    peer_code: str
    name: str
    mode: str
    state: str
    failing_since: datetime | None
    in_flight: int
    failing: int
    dead: int
    lag: int


FRESH = Direct(
    "SELECT count(*) AS number FROM (SELECT FROM delivery"
    "  WHERE subscription_id = :id AND state = 'pending'"
    "  AND next_attempt_at <= :until AND attempts = 0 LIMIT :most) ready",
    NumberRow,
)
WAITS_LONG = Direct(
    "SELECT DISTINCT ON (d.subscription_id) d.subscription_id, d.event_id, d.cause FROM delivery d"
    " JOIN subscription s ON s.id = d.subscription_id"
    "  AND s.alerted_at IS NULL AND s.state = 'active'"
    " WHERE d.state = 'pending' AND d.first_failed_at <= :before"
    " ORDER BY d.subscription_id, d.sequence",
    WaitingRow,
)
FAILING = Direct(
    "SELECT EXISTS (SELECT FROM delivery WHERE subscription_id = :id AND state = 'pending'"
    "  AND first_failed_at IS NOT NULL) AS found",
    FoundRow,
)
# What waits is bounded (`use_cases.deliveries.WINDOW`), so it may be counted.
LOADS = Direct(
    "SELECT s.id AS subscription_id, p.code AS peer_code, s.name, s.mode, s.state, s.failing_since,"
    " coalesce(w.waiting, 0) AS in_flight, coalesce(w.failing, 0) AS failing,"
    " (SELECT count(*) FROM delivery d"
    "  WHERE d.subscription_id = s.id AND d.state = 'dead') AS dead,"
    " greatest(0, (SELECT sequence FROM log_head)"
    "  - least(s.cursor, coalesce(w.first - 1, s.cursor))) AS lag"
    " FROM subscription s JOIN peer p ON p.id = s.peer_id"
    " LEFT JOIN LATERAL (SELECT count(*) AS waiting, count(d.first_failed_at) AS failing,"
    "  min(d.sequence) AS first"
    "  FROM delivery d WHERE d.subscription_id = s.id AND d.state = 'pending') w ON true"
    " WHERE (CAST(:peer AS uuid) IS NULL OR s.peer_id = :peer) AND s.state <> 'ended'"
    " ORDER BY s.id",
    LoadRow,
)


async def list_deliveries(
    session: AsyncSession,
    subscription_id: UUID,
    *,
    state: DeliveryState | None,
    after: int,
    limit: int,
) -> Sequence[Delivery]:
    """In the order of the log, one more than `limit`."""
    statement = select(Delivery).where(
        Delivery.subscription_id == subscription_id, Delivery.sequence > after
    )
    if state is not None:
        statement = statement.where(Delivery.state == state)
    return (await session.scalars(statement.order_by(Delivery.sequence).limit(limit + 1))).all()


async def count_fresh(
    session: AsyncSession, subscription_id: UUID, *, until: datetime, most: int
) -> int:
    """How many wait for their first attempt by `until`, counted up to `most`."""
    row = await FRESH.first(session, id=subscription_id, until=until, most=most)
    assert row is not None, "a count has a row"
    return row.number


async def list_waiting_long(session: AsyncSession, before: datetime) -> Sequence[WaitingRow]:
    """One event that has failed since `before`, of each active subscription not alerted yet."""
    return await WAITS_LONG.fetch(session, before=before)


async def has_failing(session: AsyncSession, subscription_id: UUID) -> bool:
    row = await FAILING.first(session, id=subscription_id)
    assert row is not None, "EXISTS has a row"
    return row.found


async def list_statistics(session: AsyncSession, peer_id: UUID | None) -> list[StatisticRow]:
    """The counters are few: subscriptions × types × measures."""
    statement = (
        select(Peer.code, Statistic.type, Statistic.measure, Statistic.number)
        .join(Subscription, Subscription.id == Statistic.subscription_id)
        .join(Peer, Peer.id == Subscription.peer_id)
        .order_by(Peer.code, Statistic.type)
    )
    if peer_id is not None:
        statement = statement.where(Peer.id == peer_id)
    return [StatisticRow(*row) for row in await session.execute(statement)]


async def list_loads(session: AsyncSession, peer_id: UUID | None) -> Sequence[LoadRow]:
    """What waits for each subscription that has not ended."""
    return await LOADS.fetch(session, peer=peer_id)
