"""HTTP in and out of one's own account: what it holds, and proving who one is."""

from fastapi import APIRouter

from services.identity import queries
from services.identity.model import Account, AccountKind
from services.identity.router.access import RealName, WindowClerk, account_id
from services.identity.schemas import AccountRead, Verified, VerifyAtCounter, VerifyIdentity
from services.identity.use_cases import accounts
from shared.domain import masking
from shared.http.dependencies import Now, ReadSession, Session
from shared.http.idempotency import IdempotentRoute
from shared.security.auth import CurrentCaller, Person

router = APIRouter(route_class=IdempotentRoute)


@router.post("/verifications")
async def verify_identity(
    command: VerifyIdentity, session: Session, caller: Person, provider: RealName, now: Now
) -> Verified:
    """Prove the real name (level 2); refresh the tokens afterwards."""
    level = await accounts.verify_identity(
        session, account_id(caller.subject), command=command, provider=provider, now=now
    )
    return Verified(level=level)


@router.post("/counter-verifications")
async def verify_at_counter(
    command: VerifyAtCounter,
    session: Session,
    _clerk: WindowClerk,
    provider: RealName,
    now: Now,
) -> Verified:
    """A window clerk saw the person with the card (level 3); the person's next tokens carry it."""
    level = await accounts.verify_at_counter(session, command, provider=provider, now=now)
    return Verified(level=level)


@router.get("/account")
async def get_account(session: ReadSession, caller: CurrentCaller) -> AccountRead:
    """One's own account, masked."""
    account = await queries.get_account(session, account_id(caller.subject))
    return _masked(_show(account))


@router.get("/account/export")
async def export_account(session: ReadSession, caller: Person) -> AccountRead:
    """One's own data in full, for the subject alone (个人信息保护法 art. 45)."""
    return _show(await queries.get_account(session, account_id(caller.subject)))


def _show(account: Account) -> AccountRead:
    return AccountRead(
        id=account.id,
        kind=account.kind,
        level=account.level,
        phone=account.phone,
        name=account.name,
        id_number=account.id_number,
        uscc=account.uscc,
        created_at=account.created_at,
    )


def _masked(account: AccountRead) -> AccountRead:
    if account.phone:
        account.phone = masking.mask_phone(account.phone)
    if account.name and account.kind is not AccountKind.ORGANISATION:
        account.name = masking.mask_name(account.name)
    if account.id_number:
        account.id_number = masking.mask_id_number(account.id_number)
    return account
