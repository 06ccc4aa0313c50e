"""Background process of licenses."""

from services.licenses.consumer import consumer
from services.licenses.settings import Settings
from services.licenses.timers import expire, fold, forget_tries, sign
from shared.runtime.worker import Timer, run_worker
from shared.settings import load


def timers(_settings: Settings) -> list[Timer]:
    return [
        Timer("expiry", 60.0, expire),
        Timer("signing", 2.0, sign),
        Timer("counts", 5.0, fold),
        Timer("tries", 3600.0, forget_tries),
    ]


if __name__ == "__main__":
    settings = load(Settings)
    run_worker("licenses", settings, consumer=consumer, timers=timers(settings))
