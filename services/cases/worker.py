"""Background process of cases."""

from services.cases.consumer import consumer
from services.cases.settings import Settings
from services.cases.timers import follow_calendar, run_clocks
from shared.settings import load
from shared.worker import Timer, run_worker


def timers(_settings: Settings) -> list[Timer]:
    return [Timer("clocks", 60.0, run_clocks), Timer("calendar", 60.0, follow_calendar)]


if __name__ == "__main__":
    settings = load(Settings)
    run_worker("cases", settings, consumer, timers(settings))
