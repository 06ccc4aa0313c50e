"""HTTP in and out."""

from fastapi import APIRouter

from services.exchange.router import batches, deliveries, events, peers, reconciliations, subscriptions

router = APIRouter(prefix="/api/v1/exchange", tags=["exchange"])
for part in (
    peers.router,
    subscriptions.router,
    deliveries.router,
    events.router,
    batches.router,
    reconciliations.router,
):
    router.include_router(part)
