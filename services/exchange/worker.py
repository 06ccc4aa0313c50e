"""Background process of exchange."""

from services.exchange.consumer import consumer
from services.exchange.events.timers import Pruner, Sender, alert
from services.exchange.region.http_client import HttpRegion
from services.exchange.region.timers import Regional
from services.exchange.settings import Settings
from shared.runtime.worker import Timer, run_worker
from shared.settings import load


def timers(settings: Settings) -> list[Timer]:
    """What is due by time; nothing is pushed or reconciled without a regional platform."""
    found = [
        # A short poll, not a notification: it costs one cheap statement and cannot be lost.
        Timer("deliveries", 0.25, Sender(settings).run),
        Timer("alerts", 15.0, alert),
        Timer("pruning", 3600.0, Pruner(settings).run),
    ]
    if settings.regional_url:
        regional = Regional(HttpRegion(settings.regional_url), settings)
        found.append(Timer("push", 5.0, regional.push_records))
        found.append(Timer("plan-reconciliations", 60.0, regional.plan))
        found.append(Timer("reconcile", 2.0, regional.reconcile))
    return found


if __name__ == "__main__":
    settings = load(Settings)
    run_worker("exchange", settings, consumer=consumer, timers=timers(settings))
