"""Background process of cases."""

from services.cases.consumer import consumer
from services.cases.settings import Settings
from services.cases.timers import follow_calendar, forget_tracking_attempts, run_clocks
from shared.runtime.worker import Timer, run_worker
from shared.settings import load


def timers(_settings: Settings) -> list[Timer]:
    """The timers with their periods in seconds."""
    return [
        # A minute: lights and deemed acceptance are due by days, so this is soon enough.
        Timer("clocks", 60.0, run_clocks),
        Timer("calendar", 60.0, follow_calendar),
        Timer("tries", 3600.0, forget_tracking_attempts),
    ]


if __name__ == "__main__":
    settings = load(Settings)
    run_worker("cases", settings, consumer=consumer, timers=timers(settings))
