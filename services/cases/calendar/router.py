"""HTTP endpoints of the calendar."""

import time
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from services.cases.calendar import queries as calendar_queries
from services.cases.calendar import use_cases
from services.cases.calendar.model import CalendarChange
from services.cases.calendar.schemas import (
    CalendarChangeRead,
    CalendarDayEntry,
    CalendarRead,
    ChangeDays,
    MovedCases,
)
from shared import clock
from shared.http.dependencies import Db, ReadSession
from shared.security.auth import Administrator, CurrentCaller

router = APIRouter()

PATIENCE = 10.0
"""Seconds for which the endpoint moves due dates before it answers; the worker does the rest."""
NOTHING_CHANGED = CalendarChangeRead(
    id=None, changed_days=0, finished=True, moved=0, departments=[]
)


def _report(change: CalendarChange) -> CalendarChangeRead:
    departments: list[MovedCases] = []
    for place, count in sorted(change.moved.items()):
        area_code, department_code = place.split("/")
        moved = MovedCases(area_code=area_code, department_code=department_code, cases=count)
        departments.append(moved)
    return CalendarChangeRead(
        id=change.id,
        changed_days=len(change.days),
        finished=change.passes > 0,
        moved=sum(change.moved.values()),
        departments=departments,
    )


@router.get("/calendar")
async def get_calendar(
    session: ReadSession, _caller: CurrentCaller, year: Annotated[int, Query(ge=2000, le=2100)]
) -> CalendarRead:
    """The days of a year that differ from Monday to Friday."""
    days: list[CalendarDayEntry] = []
    for row in await calendar_queries.list_year(session, year):
        days.append(CalendarDayEntry(day=row.day, is_working=row.is_working, note=row.note))
    return CalendarRead(year=year, announced=bool(days), days=days)


@router.put("/calendar/days")
async def change_days(
    command: ChangeDays, database: Db, administrator: Administrator
) -> CalendarChangeRead:
    """Set days of the calendar.

    Clocks count by it at once; the due dates of open cases follow, batch by batch.
    """
    async with database.transaction() as session:
        change = await use_cases.change_days(
            session, command, officer=administrator.subject, now=clock.now()
        )
    if change is None:
        return NOTHING_CHANGED
    more = True
    until = time.monotonic() + PATIENCE
    while more and time.monotonic() < until:
        async with database.transaction() as session:
            more = await use_cases.follow_change(session, change.id, now=clock.now())
    async with database.reading() as session:
        return _report(await calendar_queries.get_change(session, change.id))


@router.get("/calendar/changes/{change_id}")
async def get_change(
    change_id: UUID, session: ReadSession, _administrator: Administrator
) -> CalendarChangeRead:
    """What followed from a change of the calendar: how many open cases moved, by department."""
    return _report(await calendar_queries.get_change(session, change_id))
