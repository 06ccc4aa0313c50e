"""Subscriptions, in the order of their life."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.events.model.log import LogHead
from services.exchange.events.model.subscription import Mode, Subscription, SubscriptionState
from services.exchange.events.queries import log, subscriptions
from services.exchange.events.schemas.subscriptions import ChangeSubscription, NewSubscription
from services.exchange.events.use_cases.audit_trail import record
from services.exchange.events.use_cases.deliveries import bury, cancel_forbidden, revive
from services.exchange.peers import queries as peers_queries
from services.exchange.peers.model import Peer
from shared.database.acts import Act
from shared.errors import FieldError, InvalidInputError
from shared.http.etags import check_version
from shared.ids import new_id
from shared.runtime.http_client import EgressPolicy, EndpointError, check_endpoint

SUSPENDED = "suspended"
"""Cause of dead letters that a suspension made; activation sends them again by itself."""


async def create_subscription(
    session: AsyncSession,
    peer: Peer,
    *,
    command: NewSubscription,
    reach: EgressPolicy,
    now: datetime,
) -> Subscription:
    """Under pull it is active at once; a webhook is pending until its endpoint has answered.

    Raises `InvalidInputError` for what the peer may not see and for an endpoint that can never be
    called.
    """
    _check(command, peer=peer, reach=reach)
    head = await log.get_head(session)
    subscription = Subscription(
        id=new_id(),
        peer_id=peer.id,
        mode=Mode(command.mode),
        state=SubscriptionState.PENDING,
        endpoint=command.endpoint,
        cursor=_first_cursor(command, head),
        failures=0,
        revision=1,
        created_at=now,
    )
    _apply(command, subscription)
    if subscription.mode == Mode.PULL:
        subscription.state = SubscriptionState.ACTIVE
    else:
        _ = subscription.add_secret(now)
    session.add(subscription)
    record(
        session,
        "subscription.create",
        subscription=subscription,
        peer=peer.code,
        mode=command.mode,
    )
    return subscription


def _first_cursor(command: NewSubscription, head: LogHead) -> int:
    """The place in the log to begin behind: as asked, within what is kept."""
    if command.after is None:
        return head.sequence
    return min(max(command.after, head.pruned), head.sequence)


async def change_subscription(
    act: Act[datetime],
    subscription_id: UUID,
    *,
    peer: Peer,
    command: ChangeSubscription,
    reach: EgressPolicy,
) -> Subscription:
    """Other filters are valid from the next event on.

    Another endpoint must answer its handshake first. Raises as `create_subscription` does, and
    `ConflictError` when the subscription has ended.
    """
    session = act.session
    # First, in the order of all who lock several.
    _ = await subscriptions.lock_subscriptions_of(session, peer.id)
    subscription = await _lock(act, subscription_id, peer_id=peer.id)
    _check(command, peer=peer, reach=reach)
    if (command.endpoint is None) != (subscription.endpoint is None):
        fault = FieldError(
            "endpoint", "mode", message="a webhook needs an endpoint, and pull has none"
        )
        raise InvalidInputError("the way of delivery cannot be changed", [fault])
    subscription.must_not_have_ended()
    subscription.change_endpoint(command.endpoint)
    _apply(command, subscription)
    subscription.revision += 1
    await session.flush()
    _ = await cancel_forbidden(session, peer)
    record(session, "subscription.change", subscription=subscription, state=subscription.state)
    return subscription


async def activate_subscription(
    act: Act[datetime], subscription_id: UUID, *, peer: Peer
) -> Subscription:
    """The endpoint has answered its handshake.

    What a suspension left undelivered is sent again.
    """
    subscription = await _lock(act, subscription_id, peer_id=peer.id)
    subscription.activate()
    revived = await revive(act.session, subscription.id, cause=SUSPENDED, now=act.at)
    record(act.session, "subscription.activate", subscription=subscription, revived=revived)
    return subscription


async def suspend_subscription(
    act: Act[datetime], subscription_id: UUID, *, peer_id: UUID | None, reason: str
) -> Subscription:
    """By its peer or an administrator (`peer_id` None).

    Nothing is sent or handed out until it is activated again.
    """
    subscription = await _lock(act, subscription_id, peer_id=peer_id)
    subscription.suspend(reason)
    record(act.session, "subscription.suspend", subscription=subscription, reason=reason)
    return subscription


async def end_subscription(
    act: Act[datetime], subscription_id: UUID, *, peer_id: UUID | None, reason: str
) -> Subscription:
    """By its peer or an administrator (`peer_id` None), for good."""
    session = act.session
    # Not the entity: once loaded, it would keep the version from before the lock.
    owner = await subscriptions.get_owner(session, subscription_id, peer_id=peer_id)
    # First, in the order of all who lock several.
    _ = await subscriptions.lock_subscriptions_of(session, owner)
    subscription = await _lock(act, subscription_id, peer_id=peer_id)
    subscription.end(reason)
    await session.flush()
    peer = await peers_queries.get_peer(session, subscription.peer_id)
    _ = await cancel_forbidden(session, peer, ended=[subscription])
    record(session, "subscription.end", subscription=subscription, reason=reason)
    return subscription


async def rotate_secret(
    act: Act[datetime], subscription_id: UUID, *, peer: Peer
) -> tuple[Subscription, str]:
    """A new secret; for 72 hours both sign."""
    subscription = await _lock(act, subscription_id, peer_id=peer.id)
    secret = subscription.rotate(act.at)
    record(act.session, "subscription.rotate-secret", subscription=subscription)
    return subscription, secret


async def suspend_lost(session: AsyncSession, subscription: Subscription, *, reason: str) -> None:
    """The endpoint said that it is gone, or took nothing for 120 hours.

    What waits becomes dead letters.
    """
    subscription.suspend(reason)
    dead = await bury(session, subscription.id, cause=SUSPENDED)
    record(session, "subscription.suspend", subscription=subscription, reason=reason, dead=dead)


async def _lock(act: Act[datetime], subscription_id: UUID, *, peer_id: UUID | None) -> Subscription:
    subscription = await subscriptions.get_subscription(
        act.session, subscription_id, peer_id=peer_id, lock=True
    )
    check_version(subscription.revision, expected=act.expected)
    return subscription


def _apply(command: ChangeSubscription, subscription: Subscription) -> None:
    """What the command says, but for the endpoint."""
    subscription.name = command.name
    subscription.event_types = command.event_types
    subscription.area_codes = command.filters.area_codes
    subscription.department_codes = command.filters.department_codes
    subscription.matter_codes = command.filters.matter_codes
    subscription.sign_ed25519 = command.sign_ed25519


def _check(command: ChangeSubscription, *, peer: Peer, reach: EgressPolicy) -> None:
    """Every fault at once."""
    faults: list[FieldError] = []
    for place, name in enumerate(command.event_types):
        if name not in peer.event_types:
            faults.append(
                FieldError(
                    f"event_types[{place}]", "granted", message="this peer may not subscribe to it"
                )
            )
    for place, area in enumerate(command.filters.area_codes):
        if area not in peer.areas:
            faults.append(
                FieldError(
                    f"filters.area_codes[{place}]",
                    "granted",
                    message="this peer may not see this area",
                )
            )
    if command.endpoint is not None:
        try:
            _ = check_endpoint(command.endpoint, reach)
        except EndpointError as error:
            faults.append(_endpoint_fault(error.cause))
    if faults:
        raise InvalidInputError("the subscription cannot be kept so", faults)


def _endpoint_fault(cause: str) -> FieldError:
    if cause == "https_required":
        return FieldError("endpoint", "https_required", message="begin it with https://")
    if cause == "port_not_allowed":
        return FieldError("endpoint", "port_not_allowed", message="this port is not allowed")
    if cause == "invalid_url":
        return FieldError("endpoint", "invalid_url", message="this is no address of an endpoint")
    raise ValueError(cause)
