"""Subscriptions, in the order of their life."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.events.model.subscription import Subscription
from services.exchange.events.queries import log, subscriptions
from services.exchange.events.schemas.subscriptions import ChangeSubscription, NewSubscription
from services.exchange.events.use_cases.deliveries import bury, cancel_forbidden, revive
from services.exchange.peers import queries as peers_queries
from services.exchange.peers.model import Peer
from shared.database import audit
from shared.errors import FieldError, InvalidInputError
from shared.http.etags import check_version
from shared.runtime.http_client import EndpointError, Reach, check_endpoint

SUSPENDED = "suspended"
"""Cause of dead letters that a suspension made; its end drives them again by itself."""


async def create_subscription(
    session: AsyncSession, peer: Peer, command: NewSubscription, reach: Reach, now: datetime
) -> Subscription:
    """Under pull it is active at once; a webhook is pending until its endpoint has answered."""
    _check(peer, command, reach)
    head = await log.get_head(session)
    cursor = (
        head.sequence
        if command.after is None
        else min(max(command.after, head.pruned), head.sequence)
    )
    subscription = Subscription.new(peer, {"mode": command.mode, **_values(command)}, cursor, now)
    session.add(subscription)
    audit.record(
        session,
        "subscription.create",
        "subscription",
        subscription.id,
        peer=peer.code,
        mode=command.mode,
    )
    return subscription


async def change_subscription(
    session: AsyncSession,
    subscription_id: UUID,
    peer: Peer,
    command: ChangeSubscription,
    expected: int,
    reach: Reach,
) -> Subscription:
    _ = await subscriptions.list_of_peer(
        session, peer.id
    )  # first, in the order of all who lock several
    subscription = await subscriptions.get_subscription(
        session, subscription_id, peer.id, lock=True
    )
    check_version(subscription.revision, expected)
    _check(peer, command, reach)
    if (command.endpoint is None) != (subscription.endpoint is None):
        fault = FieldError("endpoint", "mode", "a webhook needs an endpoint, and pull has none")
        raise InvalidInputError("the way of delivery cannot be changed", [fault])
    subscription.change(_values(command))
    await session.flush()
    _ = await cancel_forbidden(session, peer)
    audit.record(
        session, "subscription.change", "subscription", subscription.id, state=subscription.state
    )
    return subscription


async def activate_subscription(
    session: AsyncSession, subscription_id: UUID, peer: Peer, expected: int, now: datetime
) -> Subscription:
    """The endpoint has answered its handshake; what a suspension left undelivered is taken up again."""
    subscription = await subscriptions.get_subscription(
        session, subscription_id, peer.id, lock=True
    )
    check_version(subscription.revision, expected)
    subscription.activate()
    revived = await revive(session, subscription.id, SUSPENDED, now)
    audit.record(session, "subscription.activate", "subscription", subscription.id, revived=revived)
    return subscription


async def suspend_subscription(
    session: AsyncSession, subscription_id: UUID, peer_id: UUID | None, reason: str, expected: int
) -> Subscription:
    """By its peer or an administrator: nothing is sent or handed out until it is activated again."""
    subscription = await subscriptions.get_subscription(
        session, subscription_id, peer_id, lock=True
    )
    check_version(subscription.revision, expected)
    subscription.suspend(reason)
    audit.record(session, "subscription.suspend", "subscription", subscription.id, reason=reason)
    return subscription


async def end_subscription(
    session: AsyncSession, subscription_id: UUID, peer_id: UUID | None, reason: str, expected: int
) -> Subscription:
    owner = (await subscriptions.get_subscription(session, subscription_id, peer_id)).peer_id
    _ = await subscriptions.list_of_peer(
        session, owner
    )  # first, in the order of all who lock several
    subscription = await subscriptions.get_subscription(
        session, subscription_id, peer_id, lock=True
    )
    check_version(subscription.revision, expected)
    subscription.end(reason)
    await session.flush()
    _ = await cancel_forbidden(
        session, await peers_queries.get_peer(session, subscription.peer_id), [subscription]
    )
    audit.record(session, "subscription.end", "subscription", subscription.id, reason=reason)
    return subscription


async def rotate_secret(
    session: AsyncSession, subscription_id: UUID, peer: Peer, expected: int, now: datetime
) -> tuple[Subscription, str]:
    """A new secret; for 72 hours both sign."""
    subscription = await subscriptions.get_subscription(
        session, subscription_id, peer.id, lock=True
    )
    check_version(subscription.revision, expected)
    secret = subscription.rotate(now)
    audit.record(session, "subscription.rotate-secret", "subscription", subscription.id)
    return subscription, secret


async def suspend_lost(session: AsyncSession, subscription: Subscription, reason: str) -> None:
    """The endpoint said that it is gone, or took nothing for 120 hours: what waits becomes dead letters."""
    subscription.suspend(reason)
    dead = await bury(session, subscription.id, SUSPENDED)
    audit.record(
        session, "subscription.suspend", "subscription", subscription.id, reason=reason, dead=dead
    )


def _values(command: ChangeSubscription) -> dict[str, Any]:
    plain = command.model_dump(include={"name", "event_types", "endpoint", "sign_ed25519"})
    return {**plain, **command.filters.model_dump()}


def _check(peer: Peer, command: ChangeSubscription, reach: Reach) -> None:
    """Every fault at once: what the peer may not see, and an endpoint that can never be called."""
    faults = [
        FieldError(f"event_types[{place}]", "granted", "this peer may not subscribe to it")
        for place, name in enumerate(command.event_types)
        if name not in peer.event_types
    ]
    faults += [
        FieldError(f"filters.area_codes[{place}]", "granted", "this peer may not see this area")
        for place, area in enumerate(command.filters.area_codes)
        if area not in peer.areas
    ]
    if command.endpoint is not None:
        try:
            _ = check_endpoint(command.endpoint, reach)
        except EndpointError as error:
            words = {
                "https_required": "begin it with https://",
                "port_not_allowed": "this port is not allowed",
            }
            faults.append(
                FieldError(
                    "endpoint",
                    error.cause,
                    words.get(error.cause, "this is no address of an endpoint"),
                )
            )
    if faults:
        raise InvalidInputError("the subscription cannot be kept so", faults)
