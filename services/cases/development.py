"""Endpoints of a development system only."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel

from services.cases import timers
from services.cases.access import Config
from services.cases.schema_base import Strict
from shared.errors import FieldError, InvalidInputError, NotFoundError
from shared.http.dependencies import Db
from shared.security.auth import Administrator

router = APIRouter()


class TimerRun(Strict):
    """Run the timers as if it were then (development and demonstrations)."""

    as_of: datetime


class TimerRan(BaseModel):
    """What the timers did."""

    deemed_accepted: int
    lights_raised: int
    lights_cleared: int


@router.post("/development/timer-runs")
async def run_timers(
    command: TimerRun, settings: Config, database: Db, _administrator: Administrator
) -> TimerRan:
    """Run the timers once as if it were `as_of`; 404 in production."""
    # Whoever could move the clock of a real city could let every organ be silent.
    if not settings.development:
        raise NotFoundError("only in development")
    if command.as_of.tzinfo is None:
        fault = FieldError("as_of", "offset", message="send it with its offset")
        raise InvalidInputError("the time has no zone", [fault])
    run = await timers.run_clocks(database, command.as_of)
    return TimerRan(
        deemed_accepted=run.deemed_accepted,
        lights_raised=run.lights_raised,
        lights_cleared=run.lights_cleared,
    )
