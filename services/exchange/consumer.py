"""Events in: every fact that the outside may see goes into the event log."""

from collections.abc import Sequence
from functools import cache

from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.model import City
from services.exchange.model.external import FACTS
from services.exchange.settings import CitySettings
from services.exchange.use_cases.log import keep_events
from shared import clock
from shared.events import Envelope
from shared.inbox import Consumer

consumer = Consumer("exchange")


@cache
def _city() -> City:
    settings = CitySettings()
    return City(settings.city_code, settings.city_name, settings.public_url)


@consumer.on_envelopes(*FACTS)
async def keep_visible(session: AsyncSession, envelopes: Sequence[Envelope]) -> None:
    _ = await keep_events(session, envelopes, _city(), clock.now())
