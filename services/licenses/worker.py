"""Background process of licenses."""

from services.licenses.consumer import consumer
from services.licenses.settings import Settings
from shared.settings import load
from shared.worker import Timer, run_worker


def timers(_settings: Settings) -> list[Timer]:
    return []


if __name__ == "__main__":
    settings = load(Settings)
    run_worker("licenses", settings, consumer, timers(settings))
