"""HTTP in and out of the organisations for which a person may act."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter

from services.identity import queries
from services.identity.router.access import Register, account_id
from services.identity.schemas import OrganisationRead, RegisterOrganisation
from services.identity.use_cases import organisations
from shared import clock
from shared.http.dependencies import ReadSession, Session
from shared.http.idempotency import IdempotentRoute, Once
from shared.security.auth import Person, VerifiedPerson

router = APIRouter(route_class=IdempotentRoute)


@router.post(
    "/organisations", response_model=OrganisationRead, status_code=201, dependencies=[Once]
)
async def register_organisation(
    command: RegisterOrganisation, session: Session, caller: VerifiedPerson, provider: Register
) -> Any:
    """Register an organisation as its legal representative; a new one takes the former's place."""
    person = account_id(caller.subject)
    return await organisations.register_organisation(
        session, person, command, provider, clock.now()
    )


@router.get("/organisations", response_model=list[OrganisationRead])
async def list_organisations(session: ReadSession, caller: Person) -> Any:
    """The organisations for which the caller may act."""
    return await queries.list_organisations(session, account_id(caller.subject))


@router.delete("/organisations/{organisation_id}/link", status_code=204)
async def leave_organisation(organisation_id: UUID, session: Session, caller: Person) -> None:
    """Act for this organisation no more; sessions opened for it end at once."""
    await organisations.leave_organisation(
        session, organisation_id, account_id(caller.subject), clock.now()
    )
