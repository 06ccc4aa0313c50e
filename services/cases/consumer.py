"""Events from other services: matters and bundles, licenses, cases that came by signed batch."""

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
from shared.messaging.consumer import Consumer

consumer = Consumer("cases")


@consumer.on(MatterPublished)
async def copy_matter(session: AsyncSession, event: MatterPublished) -> None:
    """A matter takes applications from now on."""
    await matter_copies.upsert_copy(session, event)


@consumer.on(MatterSuspended)
async def close_suspended(session: AsyncSession, event: MatterSuspended) -> None:
    """A suspended matter takes no applications."""
    await matter_copies.close_copy(session, event)


@consumer.on(MatterCancelled)
async def close_cancelled(session: AsyncSession, event: MatterCancelled) -> None:
    """A cancelled matter takes no applications."""
    await matter_copies.close_copy(session, event)


@consumer.on_batch(LicenseIssued, LicenseChanged, LicenseSuspended, LicenseRevoked, LicenseExpired)
async def follow_licenses(session: AsyncSession, events: Sequence[LicenseEvent]) -> None:
    """Licenses change, and with them the cases that use them."""
    await licenses.follow_licenses(session, events, now=clock.now())


@consumer.on(RecordReceived)
async def import_chunk(session: AsyncSession, event: RecordReceived) -> None:
    """Cases of a bureau come by signed batch."""
    # Exchange hands on records of several kinds; the others are for ratings, licenses, matters.
    if event.resource == "cases":
        await imports.import_chunk(session, event, now=clock.now())


@consumer.on(BundlePublished)
async def copy_bundle(session: AsyncSession, event: BundlePublished) -> None:
    """A bundle takes applications, or none any more."""
    await bundle_copies.upsert_copy(session, event)
