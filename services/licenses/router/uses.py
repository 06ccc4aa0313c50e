"""HTTP in and out of uses (用证) and the holder's authorisations."""

from uuid import UUID

from fastapi import APIRouter

from services.licenses.model.records import LicenseUse, UseAuthorisation
from services.licenses.queries import licenses, records
from services.licenses.router.access import System, check_holder, check_reader
from services.licenses.router.paging import after_id
from services.licenses.schemas.uses import (
    AuthorisationRead,
    Authorise,
    UsedLicense,
    UseLicense,
    UseRead,
)
from services.licenses.use_cases import uses
from shared.errors import ConflictError, NotFoundError
from shared.http.dependencies import Db, Now, ReadSession, Session
from shared.http.idempotency import IdempotentRoute, Once
from shared.pagination import Cursor, Limit, Page, page_of
from shared.security.auth import Citizen, CurrentCaller

router = APIRouter(prefix="/licenses/{license_id}", route_class=IdempotentRoute)


def _show_use(use: LicenseUse) -> UseRead:
    return UseRead(
        id=use.id,
        case_number=use.case_number,
        matter_code=use.matter_code,
        matter_name=use.matter_name,
        material_code=use.material_code,
        area_code=use.area_code,
        department_code=use.department_code,
        operator=use.operator,
        reason=use.reason,
        used_at=use.used_at,
    )


def _show_authorisation(given: UseAuthorisation) -> AuthorisationRead:
    return AuthorisationRead(
        id=given.id,
        matter_code=given.matter_code,
        until=given.until,
        used_at=given.used_at,
        withdrawn_at=given.withdrawn_at,
    )


@router.get("/uses")
async def list_uses(
    license_id: UUID,
    session: ReadSession,
    caller: CurrentCaller,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[UseRead]:
    """Who used the license, for what: for its holder and its department."""
    after = after_id(cursor)
    check_reader(await licenses.get_license(session, license_id), caller)
    rows = await records.list_uses(session, license_id, after=after, limit=limit)
    page, next_cursor = page_of(rows, limit, "id")
    return Page[UseRead](items=[_show_use(use) for use in page], next=next_cursor)


@router.post("/uses", status_code=201, dependencies=[Once])
async def use_license(
    *,
    license_id: UUID,
    command: UseLicense,
    session: Session,
    system: System,
    now: Now,
    database: Db,
) -> UsedLicense:
    """A bureau's system gets the record under the holder's authorisation, for one case."""
    try:
        return await uses.use_license(session, license_id, command=command, system=system, now=now)
    except (ConflictError, NotFoundError):
        await uses.count_refusal(database, license_id, system=system)
        raise


@router.post("/authorisations", status_code=201, dependencies=[Once])
async def authorise(
    license_id: UUID, command: Authorise, session: Session, caller: Citizen, now: Now
) -> AuthorisationRead:
    """The holder lets one use happen in a matter, within at most a day.

    The code is shown this once.
    """
    check_holder(await licenses.get_license(session, license_id), caller)
    return await uses.authorise(session, license_id, command=command, giver=caller.subject, now=now)


@router.get("/authorisations")
async def list_authorisations(
    license_id: UUID,
    session: ReadSession,
    caller: Citizen,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[AuthorisationRead]:
    """What the holder has allowed."""
    after = after_id(cursor)
    check_holder(await licenses.get_license(session, license_id), caller)
    rows = await records.list_authorisations(session, license_id, after=after, limit=limit)
    page, next_cursor = page_of(rows, limit, "id")
    items = [_show_authorisation(given) for given in page]
    return Page[AuthorisationRead](items=items, next=next_cursor)


@router.delete("/authorisations/{authorisation_id}", status_code=204)
async def withdraw_authorisation(
    license_id: UUID, authorisation_id: UUID, session: Session, caller: Citizen, now: Now
) -> None:
    """The holder withdraws an authorisation."""
    check_holder(await licenses.get_license(session, license_id), caller)
    await uses.withdraw_authorisation(
        session, license_id, authorisation_id=authorisation_id, now=now
    )
