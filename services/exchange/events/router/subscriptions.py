"""HTTP in and out of subscriptions, in the order of their life."""

from collections.abc import Sequence
from uuid import UUID

from fastapi import APIRouter, Response

from services.exchange.access import (
    EVENTS,
    EventViewer,
    Subscriber,
    check_scope,
    require_active_peer,
)
from services.exchange.dependencies import CallerAct, Calls, Config
from services.exchange.events.model.subscription import Mode, Subscription
from services.exchange.events.queries import subscriptions as subscriptions_queries
from services.exchange.events.schemas.subscriptions import (
    ChangeSubscription,
    EndSubscription,
    NewSubscription,
    SecretShown,
    SubscriptionRead,
)
from services.exchange.events.use_cases import subscriptions
from services.exchange.events.use_cases.endpoints import (
    origin_of,
    reach_of,
    shake_hands,
    target_of,
)
from services.exchange.events.views import read_subscription, show_secret
from services.exchange.peers.queries import FIRST_ID
from shared import clock
from shared.database.acts import Act
from shared.http.dependencies import Db, Now, Session
from shared.http.etags import IfMatch, check_version, etag
from shared.http.idempotency import IdempotentRoute, Once
from shared.pagination import Cursor, Limit, Page, decode_cursor, page_of
from shared.security.auth import CurrentCaller

router = APIRouter(prefix="/subscriptions", route_class=IdempotentRoute)


@router.post("", status_code=201, dependencies=[Once])
async def create_subscription(
    *,
    command: NewSubscription,
    session: Session,
    peer: Subscriber,
    settings: Config,
    now: Now,
    response: Response,
) -> SecretShown:
    """Subscribe to events.

    The secret of a webhook is shown this once; its endpoint is activated next.
    """
    made = await subscriptions.create_subscription(
        session, peer, command=command, reach=reach_of(peer, settings), now=now
    )
    response.headers["etag"] = etag(made.revision)
    return show_secret(made, made.newest_secret())


@router.get("")
async def list_subscriptions(
    session: Session, viewer: EventViewer, limit: Limit = 50, cursor: Cursor = None
) -> Page[SubscriptionRead]:
    """The peer's own subscriptions; an administrator's view of all."""
    after: UUID = FIRST_ID
    if cursor:
        after = decode_cursor(cursor, UUID)[0]
    found = await subscriptions_queries.list_subscriptions(
        session, viewer, after=after, limit=limit
    )
    rows: Sequence[Subscription]
    rows, next_cursor = page_of(found, limit, "id")
    return Page(items=[read_subscription(row) for row in rows], next=next_cursor)


@router.get("/{subscription_id}")
async def get_subscription(
    subscription_id: UUID, session: Session, viewer: EventViewer, response: Response
) -> SubscriptionRead:
    """One subscription."""
    found = await subscriptions_queries.get_subscription(session, subscription_id, peer_id=viewer)
    response.headers["etag"] = etag(found.revision)
    return read_subscription(found)


# In acts on a subscription the peer stands before the act: whoever is no active peer gets 403,
# whatever the other headers are.


@router.put("/{subscription_id}")
async def change_subscription(
    subscription_id: UUID,
    command: ChangeSubscription,
    peer: Subscriber,
    act: CallerAct,
    settings: Config,
) -> SubscriptionRead:
    """Other types, filters or another endpoint, which must be activated."""
    changed = await subscriptions.change_subscription(
        act, subscription_id, peer=peer, command=command, reach=reach_of(peer, settings)
    )
    act.headers["etag"] = etag(changed.revision)
    return read_subscription(changed)


@router.post("/{subscription_id}/activation")
async def activate_subscription(
    *,
    subscription_id: UUID,
    database: Db,
    caller: CurrentCaller,
    expected: IfMatch,
    settings: Config,
    endpoints: Calls,
    now: Now,
    response: Response,
) -> SubscriptionRead:
    """Ask the endpoint for its handshake (OPTIONS, then a signed challenge).

    Events go to it from then on; 409 when it does not answer.
    """
    # Two transactions, because none may be held while the endpoint is asked.
    async with database.transaction() as session:
        peer = await require_active_peer(session, caller)
        check_scope(caller, EVENTS)
        subscription = await subscriptions_queries.get_subscription(
            session, subscription_id, peer_id=peer.id
        )
        check_version(subscription.revision, expected=expected)
        subscription.must_await_activation()
        target = target_of(subscription, peer=peer, settings=settings, now=now)
    if subscription.mode == Mode.WEBHOOK:
        await shake_hands(endpoints, target, origin=origin_of(settings), now=now)
    async with database.transaction() as session:
        # The version tells whether anything changed while the endpoint was asked, above all its
        # address.
        act = Act(session, caller, clock.now(), expected, response.headers)
        active = await subscriptions.activate_subscription(act, subscription_id, peer=peer)
    response.headers["etag"] = etag(active.revision)
    return read_subscription(active)


@router.post("/{subscription_id}/secret-rotation")
async def rotate_secret(subscription_id: UUID, peer: Subscriber, act: CallerAct) -> SecretShown:
    """A new secret, shown this once; both sign for 72 hours."""
    rotated, secret = await subscriptions.rotate_secret(act, subscription_id, peer=peer)
    act.headers["etag"] = etag(rotated.revision)
    return show_secret(rotated, secret)


@router.post("/{subscription_id}/suspension")
async def suspend_subscription(
    subscription_id: UUID, command: EndSubscription, viewer: EventViewer, act: CallerAct
) -> SubscriptionRead:
    """Nothing is sent or handed out until it is activated again; nothing is lost meanwhile."""
    suspended = await subscriptions.suspend_subscription(
        act, subscription_id, peer_id=viewer, reason=command.reason
    )
    act.headers["etag"] = etag(suspended.revision)
    return read_subscription(suspended)


@router.post("/{subscription_id}/end")
async def end_subscription(
    subscription_id: UUID, command: EndSubscription, viewer: EventViewer, act: CallerAct
) -> SubscriptionRead:
    """For good."""
    ended = await subscriptions.end_subscription(
        act, subscription_id, peer_id=viewer, reason=command.reason
    )
    act.headers["etag"] = etag(ended.revision)
    return read_subscription(ended)
