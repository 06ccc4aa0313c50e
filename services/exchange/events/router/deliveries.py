"""HTTP in and out of deliveries: their status, sending again, and what is counted."""

from collections import defaultdict
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query

from services.exchange.access import Viewer
from services.exchange.events.model.delivery import DeliveryState
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
from shared import clock
from shared.http.dependencies import Session
from shared.http.idempotency import IdempotentRoute, Once
from shared.pagination import Cursor, Limit, Page, decode_cursor, page_of

router = APIRouter(route_class=IdempotentRoute)


def _read(row: Any) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in DeliveryRead.model_fields}
    return values if row.state == DeliveryState.PENDING else {**values, "next_attempt_at": None}


@router.get("/subscriptions/{subscription_id}/deliveries", response_model=Page[DeliveryRead])
async def list_deliveries(
    subscription_id: UUID,
    session: Session,
    viewer: Viewer,
    state: Annotated[DeliveryState | None, Query(description="`dead`: the dead letters")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Any:
    """What is under way, what failed and why, and for some days what arrived. What lies beyond is still in the log."""
    _ = await get_subscription(session, subscription_id, viewer)
    after = decode_cursor(cursor, int)[0] if cursor else 0
    rows = await deliveries.list_deliveries(
        session, subscription_id, state, min(after, 2**63 - 1), limit
    )
    page, following = page_of(rows, limit, "sequence")
    return {"items": [_read(row) for row in page], "next": following}


@router.post(
    "/subscriptions/{subscription_id}/redeliveries", response_model=Redelivered, dependencies=[Once]
)
async def redeliver_events(
    subscription_id: UUID, command: Redeliver, session: Session, viewer: Viewer
) -> Any:
    """Send again: dead letters, or any events of a range of the log. A receiver knows them by their ids."""
    return await redeliver(session, subscription_id, viewer, command, clock.now())


@router.get("/statistics", response_model=StatisticsRead)
async def get_statistics(session: Session, viewer: Viewer) -> Any:
    """Sent, acknowledged, rejected by cause, in flight and lag: the peer's own, or all for an administrator."""
    types: dict[tuple[str, str], dict[str, Any]] = defaultdict(
        lambda: {"sent": 0, "acknowledged": 0, "rejected": {}}
    )
    for row in await deliveries.list_statistics(session, viewer):
        entry = types[row.code, row.type]
        measure, _, cause = row.measure.partition(":")
        if cause:
            entry["rejected"][cause] = entry["rejected"].get(cause, 0) + row.number
        else:
            entry[measure] += row.number
    return {
        "head": (await get_head(session)).sequence,
        "types": [
            {"peer_code": code, "type": name, **entry} for (code, name), entry in types.items()
        ],
        "subscriptions": await deliveries.list_loads(session, viewer),
    }
