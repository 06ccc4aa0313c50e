"""Background process of exchange."""

from services.exchange.consumer import consumer
from services.exchange.events.timers import Pruner, Sender, alert
from services.exchange.region.http_client import HttpRegion
from services.exchange.region.timers import Regional
from services.exchange.settings import Settings
from shared.runtime.worker import Timer, run_worker
from shared.settings import load


def timers(settings: Settings) -> list[Timer]:
    always = [
        # A short poll, not a notification: it costs one cheap statement and cannot be lost.
        Timer("deliveries", 0.25, Sender(settings).run),
        Timer("alerts", 15.0, alert),
        Timer("pruning", 3600.0, Pruner(settings).run),
    ]
    if not settings.regional_url:
        return always
    regional = Regional(HttpRegion(settings.regional_url), settings)
    return [
        *always,
        Timer("push", 5.0, regional.push_records),
        Timer("plan-reconciliations", 60.0, regional.plan),
        Timer("reconcile", 2.0, regional.reconcile),
    ]


if __name__ == "__main__":
    settings = load(Settings)
    run_worker("exchange", settings, consumer, timers(settings))
