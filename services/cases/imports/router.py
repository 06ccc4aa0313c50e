"""HTTP endpoint of a bureau's push."""

from fastapi import APIRouter

from services.cases.access import Pusher
from services.cases.imports import use_cases as imports
from services.cases.imports.schemas import PushCases, Pushed
from shared.http.dependencies import Now, Session
from shared.http.idempotency import IdempotentRoute, Once
from shared.runtime.storage import MAX_FILE

router = APIRouter(route_class=IdempotentRoute)


@router.post("/imports", dependencies=[Once], max_body_size=MAX_FILE)
async def push_cases(command: PushCases, session: Session, system: Pusher, now: Now) -> Pushed:
    """办件推送: a bureau's own system pushes its cases.

    Correct records are stored; the others come back with row, field and rule.
    """
    return await imports.push_cases(session, command, system=system, now=now)
