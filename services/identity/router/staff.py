"""HTTP in and out of staff, kept by administrators."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response

from services.identity import queries
from services.identity.schemas import ChangeStaff, Departure, NewStaff, StaffCreated, StaffRead
from services.identity.use_cases import accounts
from shared import clock
from shared.domain import masking
from shared.http.dependencies import ReadSession, Session
from shared.http.etags import IfMatch, etag
from shared.http.idempotency import IdempotentRoute, Once
from shared.pagination import Cursor, Limit, Page, decode_cursor, page_of
from shared.security.auth import Administrator

router = APIRouter(route_class=IdempotentRoute)


@router.post("/staff", response_model=StaffCreated, status_code=201, dependencies=[Once])
async def create_staff(command: NewStaff, session: Session, _administrator: Administrator) -> Any:
    """A staff member; password and TOTP secret are shown this once."""
    return await accounts.create_staff(session, command, clock.now())


def _staff(account: Any) -> dict[str, Any]:
    names = ("id", "revision", "username", "area_code", "department_code", "roles", "active")
    return {
        **{name: getattr(account, name) for name in names},
        "name": masking.mask_name(account.name or ""),
    }


@router.get("/staff", response_model=Page[StaffRead])
async def list_staff(
    session: ReadSession, _administrator: Administrator, limit: Limit = 50, cursor: Cursor = None
) -> Any:
    """All staff, page by page."""
    after = decode_cursor(cursor, UUID)[0] if cursor else UUID(int=0)
    rows, following = page_of(await queries.list_staff(session, after, limit), limit, "id")
    return {"items": [_staff(row) for row in rows], "next": following}


@router.patch("/staff/{account_id}", response_model=StaffRead)
async def change_staff(
    account_id: UUID,
    command: ChangeStaff,
    session: Session,
    _administrator: Administrator,
    expected: IfMatch,
    response: Response,
) -> Any:
    """Another area, department or set of roles; open sessions end."""
    account = await accounts.change_staff(session, account_id, command, expected, clock.now())
    response.headers["etag"] = etag(account.revision)
    return _staff(account)


@router.post("/staff/{account_id}/departure", response_model=StaffRead)
async def depart_staff(
    account_id: UUID, command: Departure, session: Session, _administrator: Administrator
) -> Any:
    """Has left: sessions end at once."""
    return _staff(await accounts.depart_staff(session, account_id, command.reason, clock.now()))
