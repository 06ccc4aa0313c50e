"""Events in: records of supervision that came by batch."""

from sqlalchemy.ext.asyncio import AsyncSession

from services.matters.use_cases import supervision
from shared import clock
from shared.events.exchange import RecordReceived
from shared.messaging.consumer import Consumer

consumer = Consumer("matters")


@consumer.on(RecordReceived)
async def record_supervision(session: AsyncSession, event: RecordReceived) -> None:
    if event.resource == "supervision":
        await supervision.record_supervision(session, event, now=clock.now())
