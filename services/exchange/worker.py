"""Background process of exchange."""

from services.exchange.consumer import consumer
from services.exchange.settings import Settings
from services.exchange.timers import Pruner, Sender, alert
from shared.settings import load
from shared.worker import Timer, run_worker


def timers(settings: Settings) -> list[Timer]:
    return [
        # A short poll, not a notification: it costs one cheap statement and cannot be lost.
        Timer("deliveries", 0.25, Sender(settings).run),
        Timer("alerts", 15.0, alert),
        Timer("pruning", 3600.0, Pruner(settings).run),
    ]


if __name__ == "__main__":
    settings = load(Settings)
    run_worker("exchange", settings, consumer, timers(settings))
