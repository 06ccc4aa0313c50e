"""What events of other services lead to."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.calendar import use_cases as calendar
from services.ratings.giving.use_cases.records import judge_records
from services.ratings.invitations.use_cases import invite
from services.ratings.invitations.use_cases.invite import InvitingEvent
from services.ratings.settings import Rules
from shared import clock
from shared.database.calendar import get_calendar
from shared.domain.workdays import Moment
from shared.events.cases import CalendarChanged, CaseAccepted, CaseClosed, CaseImported
from shared.events.exchange import RecordReceived
from shared.messaging.consumer import Consumer

consumer = Consumer("ratings", period=0.05)


def _rules() -> Rules:
    # Tests consume without a worker, which would set them.
    return consumer.settings or Rules()


@consumer.on_batch(CaseAccepted, CaseClosed, CaseImported)
async def invite_applicants(session: AsyncSession, events: Sequence[InvitingEvent]) -> None:
    calendar_now = await get_calendar(session)
    await invite.invite_applicants(
        session, events, calendar=calendar_now, rules=_rules(), now=clock.now()
    )


@consumer.on(CalendarChanged)
async def change_days(session: AsyncSession, event: CalendarChanged) -> None:
    await calendar.change_days(session, event)


@consumer.on(RecordReceived)
async def judge_received_records(session: AsyncSession, event: RecordReceived) -> None:
    if event.resource == "ratings":
        at = Moment(clock.now(), await get_calendar(session))
        await judge_records(session, event, rules=_rules(), at=at)
