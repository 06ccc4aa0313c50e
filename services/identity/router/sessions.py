"""HTTP in and out of the sessions of the person who acts."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter

from services.identity import queries
from services.identity.router.access import account_id, own_id
from services.identity.schemas import SessionRead
from services.identity.use_cases import sessions
from shared import clock
from shared.errors import NotFoundError
from shared.http.dependencies import ReadSession, Session
from shared.http.idempotency import IdempotentRoute
from shared.security.auth import CurrentCaller

router = APIRouter(route_class=IdempotentRoute)


@router.get("/sessions", response_model=list[SessionRead])
async def list_sessions(session: ReadSession, caller: CurrentCaller) -> Any:
    """The open sessions of the person who acts."""
    rows = await queries.list_sessions(session, own_id(caller), clock.now())
    names = ("id", "principal_id", "mandate_id", "signed_in_at", "amr")
    return [
        {**{name: getattr(r, name) for name in names}, "current": str(r.id) == caller.session}
        for r in rows
    ]


@router.delete("/sessions", status_code=204)
async def sign_out_everywhere(session: Session, caller: CurrentCaller) -> None:
    """End every session of the person who acts, this one too."""
    _ = await sessions.end_sessions(session, own_id(caller), "signed out everywhere", clock.now())


@router.delete("/sessions/current", status_code=204)
async def sign_out(session: Session, caller: CurrentCaller) -> None:
    """End the session of this token and those opened from it; the gateway refuses them within seconds."""
    _ = await sessions.end_session(session, own_id(caller), account_id(caller.session), clock.now())


@router.delete("/sessions/{session_id}", status_code=204)
async def end_session(session_id: UUID, session: Session, caller: CurrentCaller) -> None:
    """End one of the caller's sessions."""
    if not await sessions.end_session(session, own_id(caller), session_id, clock.now()):
        raise NotFoundError("no such session of yours")
