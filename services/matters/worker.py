"""Background process of matters."""

from services.matters.consumer import consumer
from services.matters.settings import Settings
from shared.settings import load
from shared.worker import Timer, run_worker


def timers(_settings: Settings) -> list[Timer]:
    return []


if __name__ == "__main__":
    settings = load(Settings)
    run_worker("matters", settings, consumer, timers(settings))
