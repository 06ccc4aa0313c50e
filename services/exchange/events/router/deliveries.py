"""HTTP in and out of deliveries: their status, sending again, and what is counted."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from services.exchange.access import EventViewer
from services.exchange.events.model.delivery import Delivery, DeliveryState
from services.exchange.events.queries import deliveries
from services.exchange.events.queries.log import get_head
from services.exchange.events.queries.subscriptions import get_subscription
from services.exchange.events.schemas.deliveries import (
    DeliveryRead,
    Redeliver,
    Redelivered,
    StatisticsRead,
)
from services.exchange.events.use_cases.redelivery import redeliver
from services.exchange.events.views import read_delivery, read_load, read_type_statistics
from shared.http.dependencies import Now, Session
from shared.http.idempotency import IdempotentRoute, Once
from shared.pagination import Cursor, Limit, Page, decode_cursor, page_of

LAST_PLACE = 2**63 - 1
"""Beyond every place in the log: PostgreSQL refuses larger numbers."""

router = APIRouter(route_class=IdempotentRoute)


@router.get("/subscriptions/{subscription_id}/deliveries")
async def list_deliveries(
    *,
    subscription_id: UUID,
    session: Session,
    viewer: EventViewer,
    state: Annotated[DeliveryState | None, Query(description="`dead`: the dead letters")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[DeliveryRead]:
    """What is under way, what failed and why, and for some days what arrived.

    Events whose turn has not come yet are still in the log.
    """
    _ = await get_subscription(session, subscription_id, peer_id=viewer)
    after = 0
    if cursor:
        after = min(decode_cursor(cursor, int)[0], LAST_PLACE)
    found = await deliveries.list_deliveries(
        session, subscription_id, state=state, after=after, limit=limit
    )
    rows: Sequence[Delivery]
    rows, next_cursor = page_of(found, limit, "sequence")
    return Page(items=[read_delivery(row) for row in rows], next=next_cursor)


@router.post("/subscriptions/{subscription_id}/redeliveries", dependencies=[Once])
async def redeliver_events(
    subscription_id: UUID, command: Redeliver, session: Session, viewer: EventViewer, now: Now
) -> Redelivered:
    """Send dead letters again, or any events of a range of the log.

    A receiver knows them by their ids.
    """
    return await redeliver(session, subscription_id, peer_id=viewer, command=command, now=now)


@router.get("/statistics")
async def get_statistics(session: Session, viewer: EventViewer) -> StatisticsRead:
    """Sent, acknowledged, rejected by cause, in flight and lag.

    The peer's own, or all for an administrator.
    """
    counters = await deliveries.list_statistics(session, viewer)
    head = await get_head(session)
    loads = await deliveries.list_loads(session, viewer)
    return StatisticsRead(
        head=head.sequence,
        types=read_type_statistics(counters),
        subscriptions=[read_load(row) for row in loads],
    )
