"""HTTP in and out of subscriptions, in the order of their life."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response

from services.exchange.access import (
    EVENTS,
    FIRST,
    Calls,
    Config,
    Db,
    Subscriber,
    Viewer,
    check_scope,
    find_active_peer,
)
from services.exchange.events.model.subscription import Mode, Subscription
from services.exchange.events.queries import subscriptions as queries_subscriptions
from services.exchange.events.schemas.subscriptions import (
    ChangeSubscription,
    EndSubscription,
    NewSubscription,
    SecretShown,
    SubscriptionRead,
)
from services.exchange.events.use_cases import subscriptions
from services.exchange.events.use_cases.endpoints import origin_of, reach_of, shake_hands, signer_of
from shared import clock
from shared.http.dependencies import Session
from shared.http.etags import IfMatch, check_version, etag
from shared.http.idempotency import IdempotentRoute, Once
from shared.pagination import Cursor, Limit, Page, decode_cursor, page_of
from shared.security.auth import CurrentCaller

router = APIRouter(prefix="/subscriptions", route_class=IdempotentRoute)


def _read(subscription: Subscription) -> dict[str, Any]:
    names = SubscriptionRead.model_fields.keys() - {"filters"}
    filters = {
        name: getattr(subscription, name)
        for name in ("area_codes", "department_codes", "matter_codes")
    }
    return {**{name: getattr(subscription, name) for name in names}, "filters": filters}


def _shown(subscription: Subscription, response: Response) -> dict[str, Any]:
    response.headers["etag"] = etag(subscription.revision)
    return _read(subscription)


@router.post("", response_model=SecretShown, status_code=201, dependencies=[Once])
async def create_subscription(
    command: NewSubscription,
    session: Session,
    peer: Subscriber,
    settings: Config,
    response: Response,
) -> Any:
    """Subscribe to events. The secret of a webhook is shown this once; its endpoint is activated next."""
    reach = reach_of(peer, settings)
    made = await subscriptions.create_subscription(session, peer, command, reach, clock.now())
    return {**_shown(made, response), "secret": made.newest_secret()}


@router.get("", response_model=Page[SubscriptionRead])
async def list_subscriptions(
    session: Session, viewer: Viewer, limit: Limit = 50, cursor: Cursor = None
) -> Any:
    """The peer's own subscriptions; an administrator's view of all."""
    after = decode_cursor(cursor, UUID)[0] if cursor else FIRST
    page, following = page_of(
        await queries_subscriptions.list_subscriptions(session, viewer, after, limit), limit, "id"
    )
    return {"items": [_read(row) for row in page], "next": following}


@router.get("/{subscription_id}", response_model=SubscriptionRead)
async def get_subscription(
    subscription_id: UUID, session: Session, viewer: Viewer, response: Response
) -> Any:
    """One subscription."""
    return _shown(
        await queries_subscriptions.get_subscription(session, subscription_id, viewer), response
    )


@router.put("/{subscription_id}", response_model=SubscriptionRead)
async def change_subscription(
    subscription_id: UUID,
    command: ChangeSubscription,
    session: Session,
    peer: Subscriber,
    expected: IfMatch,
    settings: Config,
    response: Response,
) -> Any:
    """Other types, filters or another endpoint, which must be activated."""
    reach = reach_of(peer, settings)
    changed = await subscriptions.change_subscription(
        session, subscription_id, peer, command, expected, reach
    )
    return _shown(changed, response)


@router.post("/{subscription_id}/activation", response_model=SubscriptionRead)
async def activate_subscription(
    subscription_id: UUID,
    database: Db,
    caller: CurrentCaller,
    expected: IfMatch,
    settings: Config,
    endpoints: Calls,
    response: Response,
) -> Any:
    """The endpoint answers its handshake (OPTIONS, then a signed challenge), and events go to it; 409 when it does not."""
    now = clock.now()
    async with database.transaction() as session:
        peer = await find_active_peer(session, caller)
        check_scope(caller, EVENTS)
        subscription = await queries_subscriptions.get_subscription(
            session, subscription_id, peer.id
        )
        check_version(subscription.revision, expected)
        subscription.must_await_activation()
        signer = signer_of(subscription, now)
    if subscription.mode == Mode.WEBHOOK:
        reach, origin = reach_of(peer, settings), origin_of(settings)
        await shake_hands(endpoints, subscription.endpoint or "", reach, signer, origin, now)
    async with database.transaction() as session:
        # The revision tells whether anything changed while the endpoint was asked, its address above all.
        active = await subscriptions.activate_subscription(
            session, subscription_id, peer, expected, clock.now()
        )
    return _shown(active, response)


@router.post("/{subscription_id}/secret-rotation", response_model=SecretShown)
async def rotate_secret(
    subscription_id: UUID, session: Session, peer: Subscriber, expected: IfMatch, response: Response
) -> Any:
    """A new secret, shown this once; both sign for 72 hours."""
    rotated, secret = await subscriptions.rotate_secret(
        session, subscription_id, peer, expected, clock.now()
    )
    return {**_shown(rotated, response), "secret": secret}


@router.post("/{subscription_id}/suspension", response_model=SubscriptionRead)
async def suspend_subscription(
    subscription_id: UUID,
    command: EndSubscription,
    session: Session,
    viewer: Viewer,
    expected: IfMatch,
    response: Response,
) -> Any:
    """Nothing is sent or handed out until it is activated again; nothing is lost meanwhile."""
    suspended = await subscriptions.suspend_subscription(
        session, subscription_id, viewer, command.reason, expected
    )
    return _shown(suspended, response)


@router.post("/{subscription_id}/end", response_model=SubscriptionRead)
async def end_subscription(
    subscription_id: UUID,
    command: EndSubscription,
    session: Session,
    viewer: Viewer,
    expected: IfMatch,
    response: Response,
) -> Any:
    """For good."""
    ended = await subscriptions.end_subscription(
        session, subscription_id, viewer, command.reason, expected
    )
    return _shown(ended, response)
