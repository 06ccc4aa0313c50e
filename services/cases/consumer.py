"""Events in: the catalogue and its bundles, licences and what becomes of them, cases by signed batch."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.use_cases import apply, bundles, licenses, push
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
    await apply.copy_matter(session, event)


@consumer.on(MatterSuspended)
async def close_suspended(session: AsyncSession, event: MatterSuspended) -> None:
    await apply.close_copy(session, event)


@consumer.on(MatterCancelled)
async def close_cancelled(session: AsyncSession, event: MatterCancelled) -> None:
    await apply.close_copy(session, event)


@consumer.on_batch(LicenseIssued, LicenseChanged, LicenseSuspended, LicenseRevoked, LicenseExpired)
async def follow_licenses(session: AsyncSession, events: Sequence[LicenseEvent]) -> None:
    await licenses.follow_licenses(session, events, clock.now())


@consumer.on(RecordReceived)
async def judge_cases(session: AsyncSession, event: RecordReceived) -> None:
    if event.resource == "cases":
        await push.judge_chunk(session, event, clock.now())


@consumer.on(BundlePublished)
async def copy_bundle(session: AsyncSession, event: BundlePublished) -> None:
    await bundles.copy_bundle(session, event)
