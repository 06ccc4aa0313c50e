"""Events in."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.model.base import Moment
from services.ratings.queries import calendar as queries_calendar
from services.ratings.settings import Rules
from services.ratings.use_cases import calendar as use_cases_calendar
from services.ratings.use_cases import invite, records
from shared import clock
from shared.events.cases import CalendarChanged, CaseAccepted, CaseClosed, CaseEvent, CaseImported
from shared.events.exchange import RecordReceived
from shared.messaging.inbox import Consumer

consumer = Consumer("ratings", period=0.05)


def _rules() -> Rules:
    return consumer.settings or Rules()


@consumer.on_batch(CaseAccepted, CaseClosed, CaseImported)
async def invite_applicants(session: AsyncSession, events: Sequence[CaseEvent]) -> None:
    calendar = await queries_calendar.get_calendar(session)
    await invite.invite_applicants(session, events, calendar, _rules(), clock.now())


@consumer.on(CalendarChanged)
async def change_days(session: AsyncSession, event: CalendarChanged) -> None:
    await use_cases_calendar.change_days(session, event)


@consumer.on(RecordReceived)
async def take_records(session: AsyncSession, event: RecordReceived) -> None:
    if event.resource == "ratings":
        at = Moment(clock.now(), await queries_calendar.get_calendar(session))
        await records.take_records(session, event, _rules(), at)
