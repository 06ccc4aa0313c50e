"""Every SELECT about subscriptions."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.events.model.log import LogHead
from services.exchange.events.model.subscription import Mode, Subscription, SubscriptionState
from services.exchange.peers.model import Peer
from shared.errors import NotFoundError


async def get_subscription(
    session: AsyncSession, subscription_id: UUID, peer_id: UUID | None, *, lock: bool = False
) -> Subscription:
    """A subscription of this peer; of any when `peer_id` is None (administrators)."""
    found = await session.get(Subscription, subscription_id, with_for_update=lock)
    if found is None or peer_id not in {None, found.peer_id}:
        raise NotFoundError("no such subscription of yours")
    return found


async def list_subscriptions(
    session: AsyncSession, peer_id: UUID | None, after: UUID, limit: int
) -> Sequence[Subscription]:
    statement = (
        select(Subscription)
        .where(Subscription.id > after)
        .order_by(Subscription.id)
        .limit(limit + 1)
    )
    if peer_id is not None:
        statement = statement.where(Subscription.peer_id == peer_id)
    return (await session.scalars(statement)).all()


async def list_of_peer(session: AsyncSession, peer_id: UUID) -> Sequence[Subscription]:
    """All that have not ended, locked in the order in which everybody locks them."""
    open_ones = (Subscription.peer_id == peer_id, Subscription.state != SubscriptionState.ENDED)
    statement = select(Subscription).where(*open_ones).order_by(Subscription.id).with_for_update()
    return (await session.scalars(statement)).all()


async def list_behind(session: AsyncSession) -> Sequence[UUID]:
    """Webhook subscriptions before which the log has events that they have not looked at."""
    head = select(LogHead.sequence).scalar_subquery()
    sending = (Subscription.state == SubscriptionState.ACTIVE, Subscription.mode == Mode.WEBHOOK)
    return (
        await session.scalars(select(Subscription.id).where(*sending, Subscription.cursor < head))
    ).all()


async def claim_subscription(
    session: AsyncSession, subscription_id: UUID
) -> tuple[Subscription, Peer] | None:
    """The subscription with its peer, locked, unless another worker is at it or it sends no more."""
    statement = select(Subscription, Peer).join(Peer, Peer.id == Subscription.peer_id)
    mine = statement.where(
        Subscription.id == subscription_id, Subscription.state == SubscriptionState.ACTIVE
    )
    row = (
        await session.execute(mine.with_for_update(of=Subscription, skip_locked=True))
    ).one_or_none()
    return None if row is None else (row[0], row[1])


async def list_with_peers(
    session: AsyncSession, ids: Sequence[UUID], *, lock: bool = False
) -> dict[UUID, tuple[Subscription, Peer]]:
    statement = (
        select(Subscription, Peer)
        .join(Peer, Peer.id == Subscription.peer_id)
        .where(Subscription.id.in_(ids))
    )
    if lock:
        statement = statement.order_by(Subscription.id).with_for_update(of=Subscription)
    return {row[0].id: (row[0], row[1]) for row in await session.execute(statement)}
