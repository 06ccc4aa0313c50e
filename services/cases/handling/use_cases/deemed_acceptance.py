"""What time alone does to a case."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.calendar import queries as calendar_queries
from services.cases.case_file.model.timeline import TimelineRow
from services.cases.handling import queries as handling_queries
from shared.database import audit
from shared.domain.workdays import Moment
from shared.ids import new_id
from shared.messaging import outbox

BATCH = 200


async def deem_accepted(session: AsyncSession, now: datetime) -> int:
    """视为受理 every case whose five working days passed in silence; the number of this batch (at most 200)."""
    at = Moment(now, await calendar_queries.get_calendar(session))
    cases = await handling_queries.list_silent(session, at.today, BATCH)
    for case in cases:
        outbox.add(session, case.deem_accepted(at))
        session.add(
            TimelineRow(id=new_id(), case_id=case.id, act="deem_accepted", role="clock", at=now)
        )
        audit.record(session, "case.deem_accepted", "case", case.id)
    return len(cases)
