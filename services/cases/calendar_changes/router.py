"""HTTP in and out of the calendar."""

import time
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query

from services.cases.access import Db
from services.cases.calendar import queries as calendar_queries
from services.cases.calendar_changes import queries as change_queries
from services.cases.calendar_changes import use_cases as calendar_changes
from services.cases.calendar_changes.model import CalendarChange
from services.cases.calendar_changes.schemas import CalendarChangeRead, CalendarRead, ChangeDays
from shared import clock
from shared.http.dependencies import ReadSession
from shared.security.auth import Administrator, CurrentCaller

router = APIRouter()

PATIENCE = 10.0
"""Seconds that a change works on due dates before it answers; the worker does the rest."""


def _report(change: CalendarChange) -> dict[str, Any]:
    places = [(*place.split("/"), cases) for place, cases in sorted(change.moved.items())]
    names = ("area_code", "department_code", "cases")
    return {
        "id": change.id,
        "changed_days": len(change.days),
        "finished": change.passes > 0,
        "moved": sum(change.moved.values()),
        "departments": [dict(zip(names, place, strict=True)) for place in places],
    }


@router.get("/calendar", response_model=CalendarRead)
async def get_calendar(
    session: ReadSession, _caller: CurrentCaller, year: Annotated[int, Query(ge=2000, le=2100)]
) -> Any:
    """The days of a year that differ from Monday to Friday."""
    days = await calendar_queries.list_year(session, year)
    return {"year": year, "announced": bool(days), "days": days}


@router.put("/calendar/days", response_model=CalendarChangeRead)
async def change_days(command: ChangeDays, database: Db, administrator: Administrator) -> Any:
    """Set days of the calendar. Clocks count by it at once; the due dates of open cases follow, batch by batch."""
    async with database.transaction() as session:
        change = await calendar_changes.change_days(
            session, command, administrator.subject, clock.now()
        )
    if change is None:
        return {"id": None, "changed_days": 0, "finished": True, "moved": 0, "departments": []}
    more, until = True, time.monotonic() + PATIENCE
    while more and time.monotonic() < until:
        async with database.transaction() as session:
            more = await calendar_changes.follow_change(session, change.id, clock.now())
    async with database.reading() as session:
        return _report(await change_queries.get_change(session, change.id))


@router.get("/calendar/changes/{change_id}", response_model=CalendarChangeRead)
async def get_change(change_id: UUID, session: ReadSession, _administrator: Administrator) -> Any:
    """What followed from a change of the calendar: how many open cases moved, by department."""
    return _report(await change_queries.get_change(session, change_id))
