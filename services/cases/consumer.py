"""Events in: the catalogue and its bundles, licences and what becomes of them, cases by signed batch."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.applications.use_cases import matter_copies
from services.cases.bundles.use_cases import bundle_copies
from services.cases.imports import use_cases as imports
from services.cases.licenses import use_cases as licenses
from shared import clock
from shared.events.exchange import RecordReceived
from shared.events.licenses import (
    LicenseChanged,
    LicenseEvent,
    LicenseExpired,
    LicenseIssued,
    LicenseRevoked,
    LicenseSuspended,
)
from shared.events.matters import BundlePublished, MatterCancelled, MatterPublished, MatterSuspended
from shared.messaging.inbox import Consumer

consumer = Consumer("cases")


@consumer.on(MatterPublished)
async def copy_matter(session: AsyncSession, event: MatterPublished) -> None:
    await matter_copies.copy_matter(session, event)


@consumer.on(MatterSuspended)
async def close_suspended(session: AsyncSession, event: MatterSuspended) -> None:
    await matter_copies.close_copy(session, event)


@consumer.on(MatterCancelled)
async def close_cancelled(session: AsyncSession, event: MatterCancelled) -> None:
    await matter_copies.close_copy(session, event)


@consumer.on_batch(LicenseIssued, LicenseChanged, LicenseSuspended, LicenseRevoked, LicenseExpired)
async def follow_licenses(session: AsyncSession, events: Sequence[LicenseEvent]) -> None:
    await licenses.follow_licenses(session, events, clock.now())


@consumer.on(RecordReceived)
async def judge_cases(session: AsyncSession, event: RecordReceived) -> None:
    if event.resource == "cases":
        await imports.judge_chunk(session, event, clock.now())


@consumer.on(BundlePublished)
async def copy_bundle(session: AsyncSession, event: BundlePublished) -> None:
    await bundle_copies.copy_bundle(session, event)
