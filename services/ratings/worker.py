"""Background process of ratings."""

from functools import partial

from services.ratings.consumer import consumer
from services.ratings.invitations.use_cases.sms import DevelopmentSender
from services.ratings.settings import Settings
from services.ratings.timers import forget, publish_ratings, send_invitations, watch_tickets
from shared.runtime.worker import Timer, run_worker
from shared.settings import load


def timers(settings: Settings) -> list[Timer]:
    always = [
        Timer("tickets", 60.0, watch_tickets),
        Timer("publication", 60.0, publish_ratings),
        Timer("forget", 3600.0, forget),
    ]
    if not settings.development:
        # A city connects its gateway here; until then messages wait in their invitations.
        return always
    send = partial(send_invitations, sender=DevelopmentSender(), public_url=settings.public_url)
    return [Timer("sms", 5.0, send), *always]


if __name__ == "__main__":
    settings = load(Settings)
    run_worker("ratings", settings, consumer=consumer, timers=timers(settings))
