"""Time in: webhooks that are due, and the push to the region with its reconciliations."""

from services.exchange.timers.deliveries import Pruner, Sender, alert
from services.exchange.timers.regional import Regional

__all__ = ["Pruner", "Regional", "Sender", "alert"]
