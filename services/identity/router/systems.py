"""HTTP in and out of bureaus' systems, kept by administrators."""

from uuid import UUID

from fastapi import APIRouter

from services.identity.schemas import NewSystem, SystemCreated, Withdrawal
from services.identity.use_cases import systems
from shared.http.dependencies import Now, Session
from shared.http.idempotency import IdempotentRoute, Once
from shared.security.auth import Administrator

router = APIRouter(route_class=IdempotentRoute)


@router.post("/systems", status_code=201, dependencies=[Once])
async def register_system(
    command: NewSystem, session: Session, _administrator: Administrator, now: Now
) -> SystemCreated:
    """A bureau's system."""
    return SystemCreated(client_id=await systems.register_system(session, command, now=now))


@router.post("/systems/{account_id}/withdrawal", status_code=204)
async def withdraw_system(
    account_id: UUID, command: Withdrawal, session: Session, _administrator: Administrator, now: Now
) -> None:
    """Withdraw a system; its tokens are refused within seconds."""
    await systems.withdraw_system(session, account_id, reason=command.reason, now=now)
