"""HTTP in and out of the organisations for which a person may act."""

from uuid import UUID

from fastapi import APIRouter

from services.identity import queries
from services.identity.model import Account
from services.identity.router.access import Register, account_id
from services.identity.schemas import OrganisationRead, RegisterOrganisation
from services.identity.use_cases import organisations
from shared.http.dependencies import Now, ReadSession, Session
from shared.http.idempotency import IdempotentRoute, Once
from shared.security.auth import Person, VerifiedPerson

router = APIRouter(route_class=IdempotentRoute)


def _show(organisation: Account) -> OrganisationRead:
    assert organisation.uscc is not None
    assert organisation.name is not None
    return OrganisationRead(id=organisation.id, uscc=organisation.uscc, name=organisation.name)


@router.post("/organisations", status_code=201, dependencies=[Once])
async def register_organisation(
    command: RegisterOrganisation,
    session: Session,
    caller: VerifiedPerson,
    provider: Register,
    now: Now,
) -> OrganisationRead:
    """Register an organisation as its legal representative, who replaces the former one."""
    organisation = await organisations.register_organisation(
        session, account_id(caller.subject), command=command, provider=provider, now=now
    )
    return _show(organisation)


@router.get("/organisations")
async def list_organisations(session: ReadSession, caller: Person) -> list[OrganisationRead]:
    """The organisations for which the caller may act."""
    found = await queries.list_organisations(session, account_id(caller.subject))
    return [_show(organisation) for organisation in found]


@router.delete("/organisations/{organisation_id}/link", status_code=204)
async def leave_organisation(
    organisation_id: UUID, session: Session, caller: Person, now: Now
) -> None:
    """Act for this organisation no more; sessions opened for it end at once."""
    await organisations.leave_organisation(
        session, organisation_id, person_id=account_id(caller.subject), now=now
    )
