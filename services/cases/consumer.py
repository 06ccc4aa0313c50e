"""Events in: the catalogue as matters publishes it."""

from sqlalchemy.ext.asyncio import AsyncSession

from services.cases import use_cases
from shared.events.matters import MatterCancelled, MatterPublished, MatterSuspended
from shared.inbox import Consumer

consumer = Consumer("cases")


@consumer.on(MatterPublished)
async def copy_matter(session: AsyncSession, event: MatterPublished) -> None:
    await use_cases.copy_matter(session, event)


@consumer.on(MatterSuspended)
async def close_suspended(session: AsyncSession, event: MatterSuspended) -> None:
    await use_cases.close_copy(session, event)


@consumer.on(MatterCancelled)
async def close_cancelled(session: AsyncSession, event: MatterCancelled) -> None:
    await use_cases.close_copy(session, event)
