"""Changes of the calendar: days are set, and the due dates of open cases follow."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.calendar import queries as calendar_queries
from services.cases.calendar.model import (
    CalendarChange,
    CalendarDay,
    CalendarVersion,
    ChangedDay,
)
from services.cases.calendar.schemas import CalendarDayEntry, ChangeDays
from services.cases.case_file.model.case import Case
from services.cases.case_file.model.enums import StepRole
from services.cases.case_file.model.states import CaseAct
from services.cases.journal import Journal, Step
from shared.database.calendar import get_calendar
from shared.domain.workdays import Moment
from shared.events.cases import CalendarChanged
from shared.ids import new_id

BATCH = 200
"""Cases per transaction: small, so that officers do not wait long for locks."""
SECOND_PASS_AFTER = timedelta(minutes=2)
"""Longer than any transaction lives that may still have read the old calendar."""
START = UUID(int=0)
"""Where a pass begins."""


async def change_days(
    session: AsyncSession, command: ChangeDays, *, officer: str, now: datetime
) -> CalendarChange | None:
    """Set these days; None when all of them are so already. Due dates follow by `follow_change`."""
    # Two changes at once would compare with the same old days and count as one revision.
    await calendar_queries.lock_calendar(session)
    changed = await _different_days(session, command.days)
    if not changed:
        return None
    # The new value makes every process read the calendar again.
    _ = await session.execute(update(CalendarVersion).values(version=new_id()))
    await _upsert_days(session, changed)
    change = _new_change(changed, officer=officer, now=now)
    session.add(change)
    # This change is counted, too; the first one has always had the revision 2.
    revision = await calendar_queries.count_changes(session) + 1
    published: dict[date, bool] = {}
    for day in changed:
        published[day.day] = day.is_working
    event = CalendarChanged(days=published, revision=revision, occurred_at=now)
    journal = Journal(session, now)
    journal.audit(
        "calendar.change",
        object_type="calendar_change",
        object_id=change.id,
        events=[event],
        detail={"days": [day.day.isoformat() for day in changed]},
    )
    await journal.write()
    return change


async def _upsert_days(session: AsyncSession, days: Sequence[CalendarDayEntry]) -> None:
    rows = [day.model_dump() for day in days]
    statement = insert(CalendarDay).values(rows)
    values = {"is_working": statement.excluded.is_working, "note": statement.excluded.note}
    _ = await session.execute(statement.on_conflict_do_update(index_elements=["day"], set_=values))


def _new_change(days: Sequence[CalendarDayEntry], *, officer: str, now: datetime) -> CalendarChange:
    """The change before any case has followed it."""
    stored: list[ChangedDay] = []
    for day in days:
        stored.append(ChangedDay(day=day.day, note=day.note, is_working=day.is_working))
    return CalendarChange(
        id=new_id(),
        days=stored,
        changed_by=officer,
        changed_at=now,
        passes=0,
        reached=START,
        moved={},
    )


async def _different_days(
    session: AsyncSession, days: Sequence[CalendarDayEntry]
) -> list[CalendarDayEntry]:
    """The days that are not yet as they shall be."""
    known: dict[date, CalendarDay] = {}
    for row in await calendar_queries.list_days(session, [day.day for day in days]):
        known[row.day] = row
    different: list[CalendarDayEntry] = []
    for day in days:
        row = known.get(day.day)
        if row is None or row.is_working != day.is_working or row.note != day.note:
            different.append(day)
    return different


async def follow_change(
    session: AsyncSession, change_id: UUID, *, now: datetime, passes: int = 1
) -> bool:
    """Move the due dates of one batch of open cases; whether there is more until `passes` are done.

    Due dates are computed from the day on which a clock starts and its working days, so a batch
    that is done twice changes nothing.
    """
    change = await calendar_queries.find_unfinished_change(session, change_id, passes=passes)
    if change is None:
        return False
    at = Moment(now, await get_calendar(session))
    cases = await calendar_queries.list_touched_cases(session, change, limit=BATCH)
    journal = Journal(session, at.now)
    moved = _move_due_dates(journal, cases, at=at)
    # A new object: changes inside the old one are not noticed by the session.
    change.moved = dict(Counter(change.moved) + moved)
    has_more = len(cases) == BATCH
    if has_more:
        change.reached = cases[-1].id
    else:
        # The pass is over; the next one begins with the first case again.
        change.reached = START
        change.passes += 1
    await journal.write()
    return has_more


def _move_due_dates(journal: Journal, cases: Iterable[Case], *, at: Moment) -> Counter[str]:
    """Let these cases follow the calendar; how many moved, by `area/department`."""
    moved = Counter[str]()
    for case in cases:
        event = case.follow_calendar(at)
        # The changed day lies in the clocks, but a weekend or an equal swap moves nothing.
        if event is None:
            continue
        moved[f"{case.area_code}/{case.department_code}"] += 1
        step = Step(
            case_id=case.id,
            act=CaseAct.DUE_CHANGED,
            role=StepRole.CLOCK,
            detail={"revision": case.revision},
        )
        journal.append(step, event)
    return moved


async def list_unfinished(session: AsyncSession, now: datetime) -> Sequence[UUID]:
    """Changes that nobody has finished, and those whose second pass is due."""
    return await calendar_queries.list_unfinished_changes(
        session, changed_before=now - SECOND_PASS_AFTER
    )
