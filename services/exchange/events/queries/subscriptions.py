"""Every SELECT about subscriptions."""

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.events.model.log import LogHead
from services.exchange.events.model.subscription import Mode, Subscription, SubscriptionState
from services.exchange.peers.model import Peer
from shared.errors import NotFoundError


async def get_subscription(
    session: AsyncSession, subscription_id: UUID, *, peer_id: UUID | None, lock: bool = False
) -> Subscription:
    """A subscription of this peer; of any peer when `peer_id` is None (administrators).

    Raises `NotFoundError` also for a subscription of somebody else.
    """
    found = await session.get(Subscription, subscription_id, with_for_update=lock)
    if found is None or peer_id not in {None, found.peer_id}:
        raise NotFoundError("no such subscription of yours")
    return found


async def get_owner(session: AsyncSession, subscription_id: UUID, *, peer_id: UUID | None) -> UUID:
    """The id of the peer that the subscription belongs to; the entity itself is not loaded.

    Raises `NotFoundError` as `get_subscription` does.
    """
    owner = await session.scalar(
        select(Subscription.peer_id).where(Subscription.id == subscription_id)
    )
    if owner is None or peer_id not in {None, owner}:
        raise NotFoundError("no such subscription of yours")
    return owner


async def list_subscriptions(
    session: AsyncSession, peer_id: UUID | None, *, after: UUID, limit: int
) -> Sequence[Subscription]:
    """By id, one more than `limit`; of all peers when `peer_id` is None."""
    statement = (
        select(Subscription)
        .where(Subscription.id > after)
        .order_by(Subscription.id)
        .limit(limit + 1)
    )
    if peer_id is not None:
        statement = statement.where(Subscription.peer_id == peer_id)
    return (await session.scalars(statement)).all()


async def lock_subscriptions_of(session: AsyncSession, peer_id: UUID) -> Sequence[Subscription]:
    """All of a peer that have not ended, locked in the order in which everybody locks them."""
    statement = (
        select(Subscription)
        .where(
            Subscription.peer_id == peer_id,
            Subscription.state != SubscriptionState.ENDED,
        )
        .order_by(Subscription.id)
        .with_for_update()
    )
    return (await session.scalars(statement)).all()


async def list_behind(session: AsyncSession) -> Sequence[UUID]:
    """Webhook subscriptions that have not looked at all events of the log."""
    head = select(LogHead.sequence).scalar_subquery()
    statement = select(Subscription.id).where(
        Subscription.state == SubscriptionState.ACTIVE,
        Subscription.mode == Mode.WEBHOOK,
        Subscription.cursor < head,
    )
    return (await session.scalars(statement)).all()


def _with_peers() -> Select[Subscription, Peer]:
    return select(Subscription, Peer).join(Peer, Peer.id == Subscription.peer_id)


async def claim_subscription(
    session: AsyncSession, subscription_id: UUID
) -> tuple[Subscription, Peer] | None:
    """The subscription with its peer, locked.

    None when another worker is at it or it does not send any more.
    """
    statement = (
        _with_peers()
        .where(
            Subscription.id == subscription_id,
            Subscription.state == SubscriptionState.ACTIVE,
        )
        .with_for_update(of=Subscription, skip_locked=True)
    )
    row = (await session.execute(statement)).one_or_none()
    if row is None:
        return None
    subscription, peer = row
    return subscription, peer


async def find_with_peers(
    session: AsyncSession, ids: Collection[UUID], *, lock: bool = False
) -> dict[UUID, tuple[Subscription, Peer]]:
    """Subscriptions with their peers; locked in the order in which everybody locks them."""
    statement = _with_peers().where(Subscription.id.in_(ids))
    if lock:
        statement = statement.order_by(Subscription.id).with_for_update(of=Subscription)
    found: dict[UUID, tuple[Subscription, Peer]] = {}
    for subscription, peer in await session.execute(statement):
        found[subscription.id] = (subscription, peer)
    return found
