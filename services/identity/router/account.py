"""HTTP in and out of one's own account: what it holds, and proving who one is."""

from typing import Any

from fastapi import APIRouter

from services.identity import queries
from services.identity.router.access import RealName, WindowClerk, account_id
from services.identity.schemas import AccountRead, Verified, VerifyAtCounter, VerifyIdentity
from services.identity.use_cases import accounts
from shared import clock
from shared.domain import masking
from shared.http.dependencies import ReadSession, Session
from shared.http.idempotency import IdempotentRoute
from shared.security.auth import CurrentCaller, Person

router = APIRouter(route_class=IdempotentRoute)


@router.post("/verifications", response_model=Verified)
async def verify_identity(
    command: VerifyIdentity, session: Session, caller: Person, provider: RealName
) -> Any:
    """Prove the real name (level 2); refresh the tokens afterwards."""
    account = account_id(caller.subject)
    return {
        "level": await accounts.verify_identity(session, account, command, provider, clock.now())
    }


@router.post("/counter-verifications", response_model=Verified)
async def verify_at_counter(
    command: VerifyAtCounter, session: Session, _clerk: WindowClerk, provider: RealName
) -> Any:
    """A window clerk saw the person with the card (level 3); the person's next tokens carry it."""
    return {"level": await accounts.verify_at_counter(session, command, provider, clock.now())}


@router.get("/account", response_model=AccountRead)
async def get_account(session: ReadSession, caller: CurrentCaller) -> Any:
    """One's own account, masked."""
    account = await queries.get_account(session, account_id(caller.subject))
    public = account.kind == "organisation"
    return {
        "id": account.id,
        "kind": account.kind,
        "level": account.level,
        "phone": account.phone and masking.mask_phone(account.phone),
        "name": account.name if public else account.name and masking.mask_name(account.name),
        "id_number": account.id_number and masking.mask_id_number(account.id_number),
        "uscc": account.uscc,
        "created_at": account.created_at,
    }


@router.get("/account/export", response_model=AccountRead)
async def export_account(session: ReadSession, caller: Person) -> Any:
    """One's own data in full, for the subject alone (个人信息保护法 art. 45)."""
    account = await queries.get_account(session, account_id(caller.subject))
    return {name: getattr(account, name) for name in AccountRead.model_fields}
