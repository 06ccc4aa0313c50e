"""HTTP in and out."""

from services.exchange.router import (
    batches,
    deliveries,
    events,
    peers,
    reconciliations,
    subscriptions,
)

parts = (
    peers.router,
    subscriptions.router,
    deliveries.router,
    events.router,
    batches.router,
    reconciliations.router,
)
"""Below `/api/v1/exchange`."""
