"""Organisations: registered by their legal representative, who then acts for them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.identity import queries
from services.identity.model import REAL_NAME_LEVEL, Account, OrganisationLink
from services.identity.providers import OrganisationProvider
from services.identity.schemas import RegisterOrganisation, Tokens
from services.identity.settings import Settings
from services.identity.use_cases.issuing import open_acting_session
from services.identity.use_cases.sessions import end_sessions
from services.identity.use_cases.sms import alone
from shared.database import audit
from shared.errors import ConflictError, FieldError, InvalidInputError
from shared.ids import new_id
from shared.messaging import outbox
from shared.security.crypto import lookup_hash


async def register_organisation(
    session: AsyncSession,
    person_id: UUID,
    command: RegisterOrganisation,
    provider: OrganisationProvider,
    now: datetime,
) -> Account:
    """Register an organisation as its legal representative (法定代表人). A new representative takes the former's place."""
    await alone(session, lookup_hash(command.uscc, "uscc"))
    person = await queries.get_account(session, person_id, lock=True)
    known = person.name or "", person.id_number or ""
    if person.level < REAL_NAME_LEVEL or not await provider.verify(
        command.uscc, command.name, *known
    ):
        fault = FieldError(
            "uscc",
            "legal_representative",
            "the register does not name you as its legal representative",
        )
        raise InvalidInputError("the organisation could not be verified", [fault])
    organisation = await queries.find_by_uscc(session, command.uscc) or await _new(
        session, command, now
    )
    current = await queries.find_current_link(session, organisation.id)
    if current is not None and current.person_id == person_id:
        raise ConflictError("you act for this organisation already")
    if current is not None:
        await _end(session, current, organisation, "another legal representative", now)
    link = OrganisationLink(
        id=new_id(), organisation_id=organisation.id, person_id=person_id, created_at=now
    )
    session.add(link)
    outbox.add(session, person.linked(organisation, now))
    audit.record(session, "organisation.link", "account", organisation.id, person=str(person_id))
    return organisation


async def _new(session: AsyncSession, command: RegisterOrganisation, now: datetime) -> Account:
    organisation, fact = Account.new(
        "organisation", now, uscc=command.uscc, name=command.name, level=REAL_NAME_LEVEL
    )
    session.add(organisation)
    await session.flush()
    outbox.add(session, fact)
    audit.record(session, "account.register", "account", organisation.id)
    return organisation


async def leave_organisation(
    session: AsyncSession, organisation_id: UUID, person_id: UUID, now: datetime
) -> None:
    """The person acts for the organisation no more; sessions opened for it end at once."""
    _ = await queries.get_account(
        session, person_id, lock=True
    )  # account, link, sessions: everywhere in this order
    link = await queries.get_own_link(session, organisation_id, person_id)
    organisation = await queries.get_account(session, organisation_id)
    await _end(session, link, organisation, "link removed by the person", now)


async def _end(
    session: AsyncSession, link: OrganisationLink, organisation: Account, reason: str, now: datetime
) -> None:
    link.ended_at = now
    await session.flush()
    person = await queries.get_account(session, link.person_id, lock=True)
    outbox.add(session, person.unlinked(organisation, now))
    audit.record(
        session,
        "organisation.unlink",
        "account",
        organisation.id,
        reason=reason,
        person=str(link.person_id),
    )
    _ = await end_sessions(
        session, link.person_id, reason, now, chosen=lambda one: one.represents(organisation.id)
    )


async def act_for_organisation(
    session: AsyncSession,
    person_id: UUID,
    parent_id: UUID,
    organisation_id: UUID,
    settings: Settings,
    now: datetime,
) -> Tokens:
    """Tokens whose subject is the organisation and whose `act` is the person; they end with the session they come from."""
    person = await queries.get_account(session, person_id, lock=True)
    link = await queries.get_own_link(session, organisation_id, person_id)
    audit.record(session, "organisation.act", "account", organisation_id)
    return await open_acting_session(
        session, person, parent_id, link.organisation_id, settings, now
    )
