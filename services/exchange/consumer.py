"""Events that exchange listens to.

Facts that the outside may see go into the event log, verdicts to their batches, cases and ratings
into the ledger of what the region must have.
"""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.batches.use_cases import verdicts
from services.exchange.events.model.external import FACTS
from services.exchange.events.use_cases.log import append_events
from services.exchange.events.views import city_of
from services.exchange.region.use_cases import ledger
from services.exchange.settings import CitySettings
from shared import clock
from shared.events.base import Envelope
from shared.events.cases import (
    CaseAccepted,
    CaseClosed,
    CaseDecided,
    CaseDueChanged,
    CaseEvent,
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
from shared.events.records import RecordsJudged
from shared.messaging.consumer import Consumer

# Nobody waits for a single effect, so the facts of 50 ms are handled together.
consumer = Consumer("exchange", period=0.05)


@consumer.on_envelopes(*FACTS)
async def append_visible(session: AsyncSession, envelopes: Sequence[Envelope]) -> None:
    settings: CitySettings = consumer.settings or CitySettings()
    _ = await append_events(session, envelopes, city=city_of(settings), now=clock.now())


@consumer.on_batch(
    CaseRecordsJudged, LicenseRecordsJudged, SupervisionRecordsJudged, RatingRecordsJudged
)
async def take_verdicts(session: AsyncSession, events: Sequence[RecordsJudged]) -> None:
    await verdicts.take_verdicts(session, events, now=clock.now())


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
async def upsert_cases(session: AsyncSession, events: Sequence[CaseEvent]) -> None:
    await ledger.upsert_cases(session, events, now=clock.now())


@consumer.on_batch(RatingSubmitted, RatingExcluded)
async def upsert_ratings(
    session: AsyncSession, events: Sequence[RatingSubmitted | RatingExcluded]
) -> None:
    await ledger.upsert_ratings(session, events, now=clock.now())
