"""Events in: records of supervision that came by batch."""

from sqlalchemy.ext.asyncio import AsyncSession

from services.matters import use_cases
from shared import clock
from shared.events.exchange import RecordReceived
from shared.inbox import Consumer

consumer = Consumer("matters")


@consumer.on(RecordReceived)
async def record_supervision(session: AsyncSession, event: RecordReceived) -> None:
    if event.resource == "supervision":
        await use_cases.record_supervision(session, event, clock.now())
