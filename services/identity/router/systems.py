"""HTTP in and out of bureaus' systems, kept by administrators."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter

from services.identity.schemas import NewSystem, SystemCreated, Withdrawal
from services.identity.use_cases import systems
from shared import clock
from shared.http.dependencies import Session
from shared.http.idempotency import IdempotentRoute, Once
from shared.security.auth import Administrator

router = APIRouter(route_class=IdempotentRoute)


@router.post("/systems", response_model=SystemCreated, status_code=201, dependencies=[Once])
async def register_system(
    command: NewSystem, session: Session, _administrator: Administrator
) -> Any:
    """A bureau's system."""
    return {"client_id": await systems.register_system(session, command, clock.now())}


@router.post("/systems/{account_id}/withdrawal", status_code=204)
async def withdraw_system(
    account_id: UUID, command: Withdrawal, session: Session, _administrator: Administrator
) -> None:
    """The system shall act no more; its tokens are refused within seconds."""
    await systems.withdraw_system(session, account_id, command.reason, clock.now())
