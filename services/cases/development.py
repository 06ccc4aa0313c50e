"""Endpoints of a development system only."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict

from services.cases import timers
from services.cases.schema_base import Strict
from shared.errors import FieldError, InvalidInputError, NotFoundError
from shared.security.auth import Administrator

router = APIRouter()


class TimerRun(Strict):
    """Run the timers as if it were then (development and demonstrations)."""

    as_of: datetime


class TimerRan(BaseModel):
    """What the timers did."""

    model_config = ConfigDict(from_attributes=True)

    deemed_accepted: int
    lights_raised: int
    lights_cleared: int


@router.post("/development/timer-runs", response_model=TimerRan)
async def run_timers(command: TimerRun, request: Request, _administrator: Administrator) -> Any:
    """Run the timers once as if it were `as_of`; 404 in production."""
    if not request.app.state.settings.development:
        raise NotFoundError("only in development")
    if command.as_of.tzinfo is None:
        raise InvalidInputError(
            "the time has no zone", [FieldError("as_of", "offset", "send it with its offset")]
        )
    return await timers.run_clocks(request.app.state.database, command.as_of)
