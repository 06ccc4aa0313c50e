"""Events in: every fact that a day is counted in, and the reports published before."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from services.assessment import use_cases
from shared.events.assessment import DailyReportPublished
from shared.events.base import Event
from shared.events.cases import (
    CaseAccepted,
    CaseClosed,
    CaseDecided,
    CaseImported,
    CaseNotAccepted,
    CaseReceived,
    CaseSubmitted,
    CaseWithdrawn,
    ImportFinished,
    LightCleared,
    LightRaised,
    ResultDelivered,
)
from shared.events.exchange import BatchFinished, RecordsPushed
from shared.events.licenses import LicenseChanged, LicenseIssued, LicenseRevoked, LicenseUsed
from shared.events.matters import MatterCancelled, MatterEvent, MatterPublished, MatterSuspended
from shared.events.ratings import (
    BadRatingCalledBack,
    BadRatingEscalated,
    BadRatingOpened,
    BadRatingRectified,
    RatingEvent,
    RatingExcluded,
    RatingSubmitted,
)
from shared.messaging.consumer import Consumer

consumer = Consumer("assessment", rebuildable=True)


@consumer.on_batch(
    CaseSubmitted,
    CaseReceived,
    CaseAccepted,
    CaseNotAccepted,
    CaseDecided,
    CaseClosed,
    CaseWithdrawn,
    ResultDelivered,
    CaseImported,
    ImportFinished,
    LightRaised,
    LightCleared,
)
async def count_cases(session: AsyncSession, events: Sequence[Event]) -> None:
    await use_cases.count_cases(session, events)


@consumer.on_batch(MatterPublished, MatterSuspended, MatterCancelled)
async def count_matters(session: AsyncSession, events: Sequence[MatterEvent]) -> None:
    await use_cases.count_matters(session, events)


@consumer.on_batch(
    RatingSubmitted,
    BadRatingOpened,
    BadRatingCalledBack,
    BadRatingEscalated,
    BadRatingRectified,
    RatingExcluded,
)
async def count_ratings(session: AsyncSession, events: Sequence[RatingEvent]) -> None:
    await use_cases.count_ratings(session, events)


@consumer.on_batch(
    LicenseIssued, LicenseChanged, LicenseRevoked, LicenseUsed, BatchFinished, RecordsPushed
)
async def count_facts(session: AsyncSession, events: Sequence[Event]) -> None:
    await use_cases.count_facts(session, events)


@consumer.on(DailyReportPublished)
async def store_report(session: AsyncSession, event: DailyReportPublished) -> None:
    await use_cases.store_report(session, event)
