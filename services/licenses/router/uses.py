"""HTTP in and out of uses (用证) and the holder's authorisations."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter

from services.licenses.queries import licenses, records
from services.licenses.queries.licenses import FIRST
from services.licenses.router.access import Db, System, check_holder, check_reader
from services.licenses.schemas.uses import (
    AuthorisationRead,
    Authorise,
    UsedLicense,
    UseLicense,
    UseRead,
)
from services.licenses.use_cases import uses
from shared import clock
from shared.errors import ConflictError, NotFoundError
from shared.http.dependencies import ReadSession, Session
from shared.http.idempotency import IdempotentRoute, Once
from shared.pagination import Cursor, Limit, Page, decode_cursor, page_of
from shared.security.auth import Citizen, CurrentCaller

router = APIRouter(prefix="/licenses/{license_id}", route_class=IdempotentRoute)


@router.get("/uses", response_model=Page[UseRead])
async def list_uses(
    license_id: UUID,
    session: ReadSession,
    caller: CurrentCaller,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Any:
    """Who used the licence, for what: for its holder and its department."""
    after = decode_cursor(cursor, UUID)[0] if cursor else FIRST
    check_reader(await licenses.get_license(session, license_id), caller)
    page, following = page_of(
        await records.list_uses(session, license_id, after, limit), limit, "id"
    )
    return {"items": page, "next": following}


@router.post("/uses", response_model=UsedLicense, status_code=201, dependencies=[Once])
async def use_license(
    license_id: UUID, command: UseLicense, session: Session, system: System, database: Db
) -> Any:
    """A bureau's system gets the record under the holder's authorisation, for one case; without it, nothing."""
    try:
        return await uses.use_license(session, license_id, command, system, clock.now())
    except (ConflictError, NotFoundError):
        connection = await database.connect()
        try:
            await uses.count_refusal(connection, license_id, system)
        finally:
            await connection.close()
        raise


@router.post(
    "/authorisations", response_model=AuthorisationRead, status_code=201, dependencies=[Once]
)
async def authorise(license_id: UUID, command: Authorise, session: Session, caller: Citizen) -> Any:
    """The holder lets one use happen in a matter, within at most a day; the code is shown this once."""
    check_holder(await licenses.get_license(session, license_id), caller)
    return await uses.authorise(session, license_id, command, caller.subject, clock.now())


@router.get("/authorisations", response_model=Page[AuthorisationRead])
async def list_authorisations(
    license_id: UUID,
    session: ReadSession,
    caller: Citizen,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Any:
    """What the holder has allowed."""
    after = decode_cursor(cursor, UUID)[0] if cursor else FIRST
    check_holder(await licenses.get_license(session, license_id), caller)
    page, following = page_of(
        await records.list_authorisations(session, license_id, after, limit), limit, "id"
    )
    items = [AuthorisationRead.model_validate(one, from_attributes=True) for one in page]
    return {"items": items, "next": following}


@router.delete("/authorisations/{authorisation_id}", status_code=204)
async def withdraw_authorisation(
    license_id: UUID, authorisation_id: UUID, session: Session, caller: Citizen
) -> None:
    """The holder takes an authorisation back."""
    check_holder(await licenses.get_license(session, license_id), caller)
    await uses.withdraw_authorisation(session, license_id, authorisation_id, clock.now())
