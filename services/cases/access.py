"""Who may do and see what, and how a case is shown."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request

from services.cases.calendar import queries as calendar_queries
from services.cases.settings import Settings
from shared import clock
from shared.database.session import Database
from shared.domain.workdays import Moment
from shared.http.dependencies import Session
from shared.runtime.storage import Storage
from shared.security.auth import with_role, with_scope
from shared.security.tokens import Caller

STAFF = ("window_clerk", "approver", "leader", "delivery", "department_head")
Clerk = Annotated[Caller, Depends(with_role("window_clerk"))]
Approver = Annotated[Caller, Depends(with_role("approver"))]
Leader = Annotated[Caller, Depends(with_role("leader"))]
Handler = Annotated[Caller, Depends(with_role("window_clerk", "approver", "leader"))]
"""An officer who works on a case before its decision."""
Head = Annotated[Caller, Depends(with_role("department_head", "leader"))]
"""行政机关负责人: approves an extension."""
Deliverer = Annotated[Caller, Depends(with_role("delivery"))]
Officer = Annotated[Caller, Depends(with_role(*STAFF))]
Overseer = Annotated[Caller, Depends(with_role(*STAFF, "supervisor"))]
"""An officer of a department, or 督办 of an area."""
Pusher = Annotated[Caller, Depends(with_scope("cases:push"))]
FIRST = UUID(int=0)


async def _moment(session: Session) -> Moment:
    return Moment(clock.now(), await calendar_queries.get_calendar(session))


At = Annotated[Moment, Depends(_moment)]


# These wait for nothing and are async all the same: FastAPI hands a plain function to a thread.
async def _settings(request: Request) -> Settings:
    return request.app.state.settings


Config = Annotated[Settings, Depends(_settings)]


async def _database(request: Request) -> Database:
    return request.app.state.database


Db = Annotated[Database, Depends(_database)]
"""For endpoints whose work is more than one transaction."""


async def _storage(request: Request) -> Storage:
    return request.app.state.storage


Files = Annotated[Storage, Depends(_storage)]
