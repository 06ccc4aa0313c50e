"""HTTP in and out of the sessions of the person who acts."""

from uuid import UUID

from fastapi import APIRouter

from services.identity import queries
from services.identity.model import EndReason
from services.identity.router.access import account_id, own_id
from services.identity.schemas import SessionRead
from services.identity.use_cases import sessions
from shared.errors import NotFoundError
from shared.http.dependencies import Now, ReadSession, Session
from shared.http.idempotency import IdempotentRoute
from shared.security.auth import CurrentCaller

router = APIRouter(route_class=IdempotentRoute)


@router.get("/sessions")
async def list_sessions(session: ReadSession, caller: CurrentCaller, now: Now) -> list[SessionRead]:
    """The open sessions of the person who acts."""
    shown: list[SessionRead] = []
    for opened in await queries.list_sessions(session, own_id(caller), now=now):
        shown.append(
            SessionRead(
                id=opened.id,
                principal_id=opened.principal_id,
                mandate_id=opened.mandate_id,
                signed_in_at=opened.signed_in_at,
                amr=opened.amr,
                current=str(opened.id) == caller.session,
            )
        )
    return shown


@router.delete("/sessions", status_code=204)
async def sign_out_everywhere(session: Session, caller: CurrentCaller, now: Now) -> None:
    """End every session of the person who acts, this one too."""
    _ = await sessions.end_sessions(
        session, own_id(caller), reason=EndReason.SIGNED_OUT_EVERYWHERE, now=now
    )


@router.delete("/sessions/current", status_code=204)
async def sign_out(session: Session, caller: CurrentCaller, now: Now) -> None:
    """End the session of this token and those opened from it.

    The gateway refuses their tokens within seconds.
    """
    _ = await sessions.end_session(
        session, own_id(caller), session_id=account_id(caller.session), now=now
    )


@router.delete("/sessions/{session_id}", status_code=204)
async def end_session(session_id: UUID, session: Session, caller: CurrentCaller, now: Now) -> None:
    """End one of the caller's sessions."""
    if not await sessions.end_session(session, own_id(caller), session_id=session_id, now=now):
        raise NotFoundError("no such session of yours")
