"""Background process of assessment."""

from services.assessment.consumer import consumer
from services.assessment.settings import Settings
from shared.settings import load
from shared.worker import Timer, run_worker


def timers(_settings: Settings) -> list[Timer]:
    return []


if __name__ == "__main__":
    settings = load(Settings)
    run_worker("assessment", settings, consumer, timers(settings))
