"""Events in: every fact that the outside may see goes into the event log, verdicts to their batches, cases and ratings to the
ledger of what the region must have.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.batches.use_cases import verdicts
from services.exchange.events.model.external import FACTS, City
from services.exchange.events.use_cases.log import keep_events
from services.exchange.region.use_cases import ledger
from services.exchange.settings import CitySettings
from shared import clock
from shared.events.base import Envelope
from shared.events.cases import (
    CaseAccepted,
    CaseClosed,
    CaseDecided,
    CaseDueChanged,
    CaseExtended,
    CaseImported,
    CaseNotAccepted,
    CaseReceived,
    CaseRecordsJudged,
    CaseResumed,
    CaseSuspended,
    CaseWithdrawn,
    CorrectionRequested,
    ResultDelivered,
)
from shared.events.licenses import LicenseRecordsJudged
from shared.events.matters import SupervisionRecordsJudged
from shared.events.ratings import RatingExcluded, RatingRecordsJudged, RatingSubmitted
from shared.messaging.inbox import Consumer

consumer = Consumer("exchange", period=0.05)


def _city() -> City:
    settings: CitySettings = consumer.settings or CitySettings()
    return City(settings.city_code, settings.city_name, settings.public_url)


@consumer.on_envelopes(*FACTS)
async def keep_visible(session: AsyncSession, envelopes: Sequence[Envelope]) -> None:
    _ = await keep_events(session, envelopes, _city(), clock.now())


@consumer.on_batch(
    CaseRecordsJudged, LicenseRecordsJudged, SupervisionRecordsJudged, RatingRecordsJudged
)
async def take_verdicts(session: AsyncSession, events: Sequence[Any]) -> None:
    await verdicts.take_verdicts(session, events, clock.now())


@consumer.on_batch(
    CaseReceived,
    CorrectionRequested,
    CaseAccepted,
    CaseNotAccepted,
    CaseSuspended,
    CaseResumed,
    CaseExtended,
    CaseDueChanged,
    CaseDecided,
    CaseClosed,
    ResultDelivered,
    CaseWithdrawn,
    CaseImported,
)
async def keep_cases(session: AsyncSession, events: Sequence[Any]) -> None:
    await ledger.keep_cases(session, events, clock.now())


@consumer.on_batch(RatingSubmitted, RatingExcluded)
async def keep_ratings(session: AsyncSession, events: Sequence[Any]) -> None:
    await ledger.keep_ratings(session, events, clock.now())
