"""Background process of assessment."""

from services.assessment.consumer import consumer
from services.assessment.settings import Settings
from shared.runtime.worker import Timer, run_worker
from shared.settings import load


def timers(_settings: Settings) -> list[Timer]:
    return []


if __name__ == "__main__":
    settings = load(Settings)
    run_worker("assessment", settings, consumer=consumer, timers=timers(settings))
