"""Who may do and see what about tickets, appeals, statistics and publication."""

from datetime import date
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header, Request

from services.ratings.calendar.queries import get_calendar
from services.ratings.settings import Settings
from shared import clock
from shared.domain.workdays import Moment
from shared.http.dependencies import Session
from shared.pagination import decode_cursor
from shared.security.auth import with_role
from shared.security.tokens import Caller

Handler = Annotated[Caller, Depends(with_role("rating_handler"))]
"""差评专员 of a department."""
Head = Annotated[Caller, Depends(with_role("department_head"))]
Overseer = Annotated[Caller, Depends(with_role("rating_handler", "department_head", "supervisor"))]
"""Staff of the department, or 督办 of the area."""
DeadlineReader = Annotated[
    Caller,
    Depends(
        with_role("rating_handler", "department_head", "supervisor", "auditor", "administrator")
    ),
]
Reviewer = Annotated[Caller, Depends(with_role("auditor", "supervisor"))]
"""复核: not of the department that appeals."""
Auditor = Annotated[Caller, Depends(with_role("auditor"))]
Moderator = Annotated[Caller, Depends(with_role("rating_handler", "auditor"))]
AppealReader = Annotated[
    Caller, Depends(with_role("rating_handler", "department_head", "auditor", "supervisor"))
]
RatingToken = Annotated[
    str | None,
    Header(
        alias="Rating-Token",
        max_length=512,
        description="Of the rating's invitation, without an account",
    ),
]


def due_cursor(cursor: str | None) -> tuple[date, UUID]:
    """The place in a list ordered by a day and an id."""
    if cursor is None:
        return date.min, UUID(int=0)
    day, last = decode_cursor(cursor, date.fromisoformat, UUID)
    return day, last


async def _moment(session: Session) -> Moment:
    return Moment(clock.now(), await get_calendar(session))


At = Annotated[Moment, Depends(_moment)]


async def _settings(request: Request) -> Settings:
    return request.app.state.settings


Config = Annotated[Settings, Depends(_settings)]


def scope(caller: Caller, settings: Settings) -> tuple[str | None, str | None]:
    """Area and department that the caller oversees; None for all."""
    if "supervisor" not in caller.roles:
        return caller.area or "", caller.department or ""
    return (None if caller.area == settings.city_code else caller.area or ""), None


def within(caller: Caller, settings: Settings, area: str, department: str) -> bool:
    """Whether this place is among those that the caller oversees."""
    return all(
        sees in {None, has}
        for sees, has in zip(scope(caller, settings), (area, department), strict=True)
    )
