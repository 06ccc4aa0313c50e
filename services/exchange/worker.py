"""Background process of exchange."""

from services.exchange.consumer import consumer
from services.exchange.settings import Settings
from shared.settings import load
from shared.worker import Timer, run_worker


def timers(_settings: Settings) -> list[Timer]:
    return []


if __name__ == "__main__":
    settings = load(Settings)
    run_worker("exchange", settings, consumer, timers(settings))
