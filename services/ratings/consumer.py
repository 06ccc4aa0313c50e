"""Events in."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.calendar import queries as calendar_queries
from services.ratings.calendar import use_cases as calendar_use_cases
from services.ratings.giving.use_cases import records
from services.ratings.invitations.use_cases import invite
from services.ratings.settings import Rules
from shared import clock
from shared.domain.workdays import Moment
from shared.events.cases import CalendarChanged, CaseAccepted, CaseClosed, CaseEvent, CaseImported
from shared.events.exchange import RecordReceived
from shared.messaging.inbox import Consumer

consumer = Consumer("ratings", period=0.05)


def _rules() -> Rules:
    return consumer.settings or Rules()


@consumer.on_batch(CaseAccepted, CaseClosed, CaseImported)
async def invite_applicants(session: AsyncSession, events: Sequence[CaseEvent]) -> None:
    calendar = await calendar_queries.get_calendar(session)
    await invite.invite_applicants(session, events, calendar, _rules(), clock.now())


@consumer.on(CalendarChanged)
async def change_days(session: AsyncSession, event: CalendarChanged) -> None:
    await calendar_use_cases.change_days(session, event)


@consumer.on(RecordReceived)
async def take_records(session: AsyncSession, event: RecordReceived) -> None:
    if event.resource == "ratings":
        at = Moment(clock.now(), await calendar_queries.get_calendar(session))
        await records.take_records(session, event, _rules(), at)
