"""HTTP in and out of staff, kept by administrators."""

from uuid import UUID

from fastapi import APIRouter

from services.identity import queries
from services.identity.model import Account
from services.identity.router.access import AdministratorAct, after_id
from services.identity.schemas import ChangeStaff, Departure, NewStaff, StaffCreated, StaffRead
from services.identity.use_cases import accounts
from shared.domain import masking
from shared.http.dependencies import Now, ReadSession, Session
from shared.http.etags import etag
from shared.http.idempotency import IdempotentRoute, Once
from shared.pagination import Cursor, Limit, Page, page_of
from shared.security.auth import Administrator

router = APIRouter(route_class=IdempotentRoute)


@router.post("/staff", status_code=201, dependencies=[Once])
async def create_staff(
    command: NewStaff, session: Session, _administrator: Administrator, now: Now
) -> StaffCreated:
    """A staff member; password and TOTP secret are shown this once."""
    return await accounts.create_staff(session, command, now=now)


def _show(account: Account) -> StaffRead:
    return StaffRead(
        id=account.id,
        revision=account.revision,
        # Every staff member has these three; other kinds of accounts do not.
        username=account.username or "",
        name=masking.mask_name(account.name or ""),
        area_code=account.area_code or "",
        department_code=account.department_code or "",
        roles=account.roles,
        active=account.active,
    )


@router.get("/staff")
async def list_staff(
    session: ReadSession, _administrator: Administrator, limit: Limit = 50, cursor: Cursor = None
) -> Page[StaffRead]:
    """All staff, page by page."""
    rows = await queries.list_staff(session, after=after_id(cursor), limit=limit)
    page, next_cursor = page_of(rows, limit, "id")
    return Page[StaffRead](items=[_show(account) for account in page], next=next_cursor)


@router.patch("/staff/{account_id}")
async def change_staff(account_id: UUID, command: ChangeStaff, act: AdministratorAct) -> StaffRead:
    """Another area, department or set of roles; open sessions end."""
    account = await accounts.change_staff(act, account_id, command=command)
    act.headers["etag"] = etag(account.revision)
    return _show(account)


@router.post("/staff/{account_id}/departure")
async def depart_staff(
    account_id: UUID, command: Departure, session: Session, _administrator: Administrator, now: Now
) -> StaffRead:
    """Has left: sessions end at once."""
    return _show(await accounts.depart_staff(session, account_id, reason=command.reason, now=now))
