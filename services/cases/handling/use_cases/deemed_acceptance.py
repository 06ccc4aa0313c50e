"""Deemed acceptance (视为受理): an organ that is silent for five working days has accepted."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.case_file.model.enums import StepRole
from services.cases.case_file.model.states import CaseAct
from services.cases.handling import queries as handling_queries
from services.cases.journal import Journal, Step
from shared.database.calendar import get_calendar
from shared.domain.workdays import Moment

BATCH = 200
"""Cases per transaction."""


async def deem_accepted(session: AsyncSession, now: datetime) -> int:
    """Accept one batch of the cases whose five working days passed in silence; their number.

    The timer raises the lights over them in the same run.
    """
    at = Moment(now, await get_calendar(session))
    cases = await handling_queries.list_silent(session, at.today, limit=BATCH)
    # One journal: the history of the whole batch costs one statement.
    journal = Journal(session, at.now)
    for case in cases:
        accepted = case.deem_accepted(at)
        step = Step(case_id=case.id, act=CaseAct.DEEM_ACCEPTED, role=StepRole.CLOCK)
        journal.append(step, accepted)
    await journal.write()
    return len(cases)
