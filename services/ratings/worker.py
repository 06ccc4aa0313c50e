"""Background process of ratings."""

from services.ratings.consumer import consumer
from services.ratings.settings import Settings
from shared.settings import load
from shared.worker import Timer, run_worker


def timers(_settings: Settings) -> list[Timer]:
    return []


if __name__ == "__main__":
    settings = load(Settings)
    run_worker("ratings", settings, consumer, timers(settings))
