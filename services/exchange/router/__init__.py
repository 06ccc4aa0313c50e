"""HTTP in and out of exchange."""

from fastapi import APIRouter

from services.exchange.router import deliveries, events, peers, subscriptions

router = APIRouter(prefix="/api/v1/exchange", tags=["exchange"])
for part in (peers.router, subscriptions.router, deliveries.router, events.router):
    router.include_router(part)
