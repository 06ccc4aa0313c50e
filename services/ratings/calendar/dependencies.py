"""FastAPI dependencies that need the calendar."""

from typing import Annotated

from fastapi import Depends

from shared import clock
from shared.database.calendar import get_calendar
from shared.domain.workdays import Moment
from shared.http.dependencies import Session


async def current_moment(session: Session) -> Moment:
    """Now, by the calendar in force."""
    return Moment(clock.now(), await get_calendar(session))


At = Annotated[Moment, Depends(current_moment)]
