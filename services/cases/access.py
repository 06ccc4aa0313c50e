"""Who may do and see what."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request

from services.cases.settings import Settings
from shared.database.acts import Act
from shared.database.calendar import get_calendar
from shared.domain.workdays import Moment
from shared.http.dependencies import Now, Session, act_by, settings_of
from shared.runtime.storage import Storage
from shared.security.auth import current_caller, with_role, with_scope
from shared.security.tokens import Caller, CallerKind

OFFICER_ROLES = ("window_clerk", "approver", "leader", "delivery", "department_head")
FIRST = UUID(int=0)
"""Before the first id, where lists begin."""


async def current_moment(session: Session, now: Now) -> Moment:
    """The present time with the newest calendar."""
    return Moment(now, await get_calendar(session))


At = Annotated[Moment, Depends(current_moment)]

CallerAct = Annotated[Act[Moment], Depends(act_by(current_caller, current_moment))]
"""An act by whoever is signed in."""
# Intake, examination, decision and delivery are roles apart: no one handles a case alone.
ClerkAct = Annotated[Act[Moment], Depends(act_by(with_role("window_clerk"), current_moment))]
ApproverAct = Annotated[Act[Moment], Depends(act_by(with_role("approver"), current_moment))]
LeaderAct = Annotated[Act[Moment], Depends(act_by(with_role("leader"), current_moment))]
DelivererAct = Annotated[Act[Moment], Depends(act_by(with_role("delivery"), current_moment))]
HandlerAct = Annotated[
    Act[Moment],
    Depends(act_by(with_role("window_clerk", "approver", "leader"), current_moment)),
]
"""An act by an officer who works on a case before its decision."""
HeadAct = Annotated[
    Act[Moment], Depends(act_by(with_role("department_head", "leader"), current_moment))
]
"""An act by the head of the organ (行政机关负责人), who approves an extension."""
OfficerAct = Annotated[Act[Moment], Depends(act_by(with_role(*OFFICER_ROLES), current_moment))]

Officer = Annotated[Caller, Depends(with_role(*OFFICER_ROLES))]
Overseer = Annotated[Caller, Depends(with_role(*OFFICER_ROLES, "supervisor"))]
"""An officer of a department, or a supervisor (督办) of an area."""
Pusher = Annotated[Caller, Depends(with_scope("cases:push"))]
"""A bureau's own system that pushes its cases."""

Config = Annotated[Settings, Depends(settings_of(Settings))]


async def request_storage(request: Request) -> Storage:
    """Where uploaded files are."""
    return request.app.state.storage


Files = Annotated[Storage, Depends(request_storage)]


def belongs_to(caller: Caller, area_code: str, *, department_code: str) -> bool:
    """Whether this area and department are the caller's own."""
    return caller.area == area_code and caller.department == department_code


def is_officer_of(caller: Caller, area_code: str, *, department_code: str) -> bool:
    """Whether the caller is an officer of this department."""
    if caller.kind is not CallerKind.STAFF or not caller.roles.intersection(OFFICER_ROLES):
        return False
    return belongs_to(caller, area_code, department_code=department_code)
