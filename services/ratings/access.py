"""Who may act and see what in ratings: callers by role, acts on shared records, offices."""

from datetime import date
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header

from services.ratings.calendar.dependencies import current_moment
from services.ratings.model_base import DuePlace, Office, Role, Scope
from services.ratings.settings import Settings
from shared.database.acts import Act
from shared.domain.workdays import Moment
from shared.errors import ForbiddenError
from shared.http.dependencies import act_by, settings_of
from shared.pagination import decode_cursor
from shared.security.auth import CurrentCaller, with_role
from shared.security.tokens import Caller, CallerKind

PUSH = "ratings:push"
"""Scope of systems that order printed tokens and show the codes of windows."""
FIRST = UUID(int=0)
"""Comes before every id, as the start of a list."""

Config = Annotated[Settings, Depends(settings_of(Settings))]

# Used by endpoints that read, and by the acts below.
_handler = with_role(Role.RATING_HANDLER)
_head = with_role(Role.DEPARTMENT_HEAD)
_reviewer = with_role(Role.AUDITOR, Role.SUPERVISOR)
_moderator = with_role(Role.RATING_HANDLER, Role.AUDITOR)

Clerk = Annotated[Caller, Depends(with_role(Role.WINDOW_CLERK))]
Handler = Annotated[Caller, Depends(_handler)]
"""差评处理岗 of a department."""
Overseer = Annotated[
    Caller, Depends(with_role(Role.RATING_HANDLER, Role.DEPARTMENT_HEAD, Role.SUPERVISOR))
]
"""Staff of the department, or 督办 of the area."""
DeadlineReader = Annotated[
    Caller,
    Depends(
        with_role(
            Role.RATING_HANDLER,
            Role.DEPARTMENT_HEAD,
            Role.SUPERVISOR,
            Role.AUDITOR,
            Role.ADMINISTRATOR,
        )
    ),
]
Reviewer = Annotated[Caller, Depends(_reviewer)]
"""复核: never of the department that appeals."""
Auditor = Annotated[Caller, Depends(with_role(Role.AUDITOR))]
Moderator = Annotated[Caller, Depends(_moderator)]
AppealReader = Annotated[
    Caller,
    Depends(with_role(Role.RATING_HANDLER, Role.DEPARTMENT_HEAD, Role.AUDITOR, Role.SUPERVISOR)),
]

HandlerAct = Annotated[Act[Moment], Depends(act_by(_handler, current_moment))]
HeadAct = Annotated[Act[Moment], Depends(act_by(_head, current_moment))]
ReviewerAct = Annotated[Act[Moment], Depends(act_by(_reviewer, current_moment))]
ModeratorAct = Annotated[Act[Moment], Depends(act_by(_moderator, current_moment))]

RatingToken = Annotated[
    str | None,
    Header(
        alias="Rating-Token",
        max_length=512,
        description="Of the rating's invitation, without an account",
    ),
]


def _is_system(caller: Caller) -> bool:
    return caller.kind is CallerKind.SYSTEM and PUSH in caller.scopes


def _is_staff(caller: Caller, role: Role) -> bool:
    return caller.kind is CallerKind.STAFF and role in caller.roles


async def _orderer(caller: CurrentCaller) -> Caller:
    if not _is_staff(caller, Role.ADMINISTRATOR) and not _is_system(caller):
        raise ForbiddenError(
            "this needs the role administrator, or a system with the scope {scope}", scope=PUSH
        )
    return caller


Orderer = Annotated[Caller, Depends(_orderer)]
"""Runs the platform, or is a bureau's system with the scope."""


async def _displayer(caller: CurrentCaller) -> Caller:
    if not _is_staff(caller, Role.WINDOW_CLERK) and not _is_system(caller):
        raise ForbiddenError(
            "this needs the role window_clerk, or a system with the scope {scope}", scope=PUSH
        )
    return caller


Displayer = Annotated[Caller, Depends(_displayer)]
"""A clerk at a window, or the system behind its screen."""


def office_of(caller: Caller) -> Office:
    """The office of a member of staff or a system; raises `ForbiddenError` where there is none."""
    if not caller.area or not caller.department:
        raise ForbiddenError("you belong to no department")
    return Office(caller.area, caller.department)


def area_scope(caller: Caller, settings: Settings) -> str | None:
    """The area that an auditor or supervisor sees; None for those of the city, who see all."""
    # Those of the city itself oversee every district.
    if caller.area == settings.city.code:
        return None
    # The empty code is that of no area: who belongs to none sees nothing.
    return caller.area or ""


def scope_of(caller: Caller, settings: Settings) -> Scope:
    """The department of an officer, the area of a supervisor."""
    # Somebody who is officer and supervisor sees the wider part.
    if Role.SUPERVISOR in caller.roles:
        return Scope(area_scope(caller, settings), None)
    return Scope(caller.area or "", caller.department or "")


def due_cursor(cursor: str | None) -> DuePlace:
    """The place that a cursor stands for; the start of the list without one."""
    if cursor is None:
        return DuePlace(date.min, FIRST)
    day, last = decode_cursor(cursor, date.fromisoformat, UUID)
    return DuePlace(day, last)


def id_cursor(cursor: str | None) -> UUID:
    """The id that a cursor stands for; `FIRST` without one."""
    if cursor is None:
        return FIRST
    return decode_cursor(cursor, UUID)[0]
