"""The calendar as data: days change, every process reads it anew, and the due dates of open cases follow."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.calendar import queries as calendar_queries
from services.cases.calendar.model import CalendarDay, CalendarVersion
from services.cases.calendar_changes import queries as change_queries
from services.cases.calendar_changes.model import CalendarChange
from services.cases.calendar_changes.schemas import ChangeDays
from services.cases.case_file.model.timeline import TimelineRow
from shared.database import audit
from shared.domain.workdays import Moment
from shared.events.cases import CalendarChanged, CaseDueChanged
from shared.ids import new_id
from shared.messaging import outbox

BATCH = 200
"""Cases per transaction: small, so that officers wait for no lock and requests between two batches for no processor."""
SECOND_PASS_AFTER = timedelta(minutes=2)
"""Longer than any transaction lives that may still have read the old calendar."""
START = UUID(int=0)


async def change_days(
    session: AsyncSession, command: ChangeDays, officer: str, now: datetime
) -> CalendarChange | None:
    """Set these days; None when all of them are so already. Due dates follow by `follow_change`."""
    # Everyone who changes the calendar meets at this row.
    _ = await session.scalar(select(CalendarVersion.version).with_for_update())
    known = await calendar_queries.list_days(session, [day.day for day in command.days])
    changed = [day for day in command.days if (day.is_working, day.note) != known.get(day.day)]
    if not changed:
        return None
    # The new value tells every process to read again.
    _ = await session.execute(update(CalendarVersion).values(version=new_id()))
    statement = insert(CalendarDay).values([day.model_dump() for day in changed])
    values = {"is_working": statement.excluded.is_working, "note": statement.excluded.note}
    _ = await session.execute(statement.on_conflict_do_update(index_elements=["day"], set_=values))
    days = [day.model_dump(mode="json") for day in changed]
    change = CalendarChange(
        id=new_id(),
        days=days,
        changed_by=officer,
        changed_at=now,
        passes=0,
        reached=START,
        moved={},
    )
    session.add(change)
    told = {day.day: day.is_working for day in changed}
    earlier = await session.scalar(select(func.count()).select_from(CalendarChange))
    outbox.add(session, CalendarChanged(days=told, revision=(earlier or 0) + 1, occurred_at=now))
    audit.record(
        session, "calendar.change", "calendar_change", change.id, days=[day["day"] for day in days]
    )
    return change


async def follow_change(
    session: AsyncSession, change_id: UUID, now: datetime, *, passes: int = 1
) -> bool:
    """Bring one batch of open cases to the present calendar; whether there is more to do until `passes` are over.

    Due dates are computed from the day a clock runs from and its working days, so a batch done twice changes nothing.
    """
    change = await change_queries.find_change(session, change_id, passes)
    if change is None:
        return False
    at = Moment(now, await calendar_queries.get_calendar(session))
    cases = await change_queries.list_touched(session, change, BATCH)
    moved = Counter(change.moved)
    facts = [fact for case in cases if (fact := case.follow_calendar(at)) is not None]
    moved.update(f"{fact.area_code}/{fact.department_code}" for fact in facts)
    change.moved = dict(moved)
    if len(cases) == BATCH:
        change.reached = cases[-1].id
    else:
        change.reached, change.passes = START, change.passes + 1
    await _record(session, facts, at)
    return len(cases) == BATCH


async def _record(session: AsyncSession, facts: Sequence[CaseDueChanged], at: Moment) -> None:
    for fact in facts:
        session.add(
            TimelineRow(
                id=new_id(), case_id=fact.case_id, act="due_changed", role="clock", at=at.now
            )
        )
        audit.record(session, "case.due_changed", "case", fact.case_id, revision=fact.revision)
    await outbox.add_many(session, facts)


async def list_unfinished(session: AsyncSession, now: datetime) -> Sequence[UUID]:
    """Changes that some process began and none finished, and those whose second pass is due."""
    return await change_queries.list_unfinished_changes(session, now - SECOND_PASS_AFTER)
