"""Background process of identity."""

from services.identity.consumer import consumer
from services.identity.settings import Settings
from services.identity.timers import prune
from shared.runtime.worker import Timer, run_worker
from shared.settings import load


def timers(_settings: Settings) -> list[Timer]:
    return [Timer("prune", 3600.0, prune)]


if __name__ == "__main__":
    settings = load(Settings)
    run_worker("identity", settings, consumer=consumer, timers=timers(settings))
