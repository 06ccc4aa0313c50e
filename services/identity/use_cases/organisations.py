"""Organisations: registered by their legal representative, who then acts for them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.identity import queries
from services.identity.model import (
    REAL_NAME_LEVEL,
    Account,
    AccountKind,
    EndReason,
    OrganisationLink,
)
from services.identity.providers import OrganisationProvider
from services.identity.schemas import RegisterOrganisation, Tokens
from services.identity.settings import Settings
from services.identity.use_cases.issuing import open_acting_session
from services.identity.use_cases.locks import advisory_lock
from services.identity.use_cases.sessions import end_sessions
from shared.database import audit
from shared.errors import ConflictError, FieldError, InvalidInputError
from shared.ids import new_id
from shared.messaging import outbox
from shared.security.crypto import lookup_hash


async def register_organisation(
    session: AsyncSession,
    person_id: UUID,
    *,
    command: RegisterOrganisation,
    provider: OrganisationProvider,
    now: datetime,
) -> Account:
    """Register an organisation as its legal representative (法定代表人).

    A new representative replaces the former one.

    Raises:
        InvalidInputError: the register does not name the person.
        ConflictError: the person represents it already.
    """
    # So that two registrations of one organisation at once make one account.
    await advisory_lock(session, lookup_hash(command.uscc, purpose="uscc"))
    person = await queries.get_account(session, person_id, lock=True)
    await _check_register(person, command, provider=provider)
    organisation = await queries.find_by_uscc(session, command.uscc)
    if organisation is None:
        organisation = await _add(session, command, now=now)
    await _end_former_link(session, organisation, person_id=person_id, now=now)
    link = OrganisationLink(
        id=new_id(), organisation_id=organisation.id, person_id=person_id, created_at=now
    )
    session.add(link)
    outbox.add(session, person.linked(organisation, now))
    audit.record(
        session,
        "organisation.link",
        object_type="account",
        object_id=organisation.id,
        person=str(person_id),
    )
    return organisation


async def _end_former_link(
    session: AsyncSession, organisation: Account, *, person_id: UUID, now: datetime
) -> None:
    """The register names one legal representative, so the former one acts no more."""
    current = await queries.lock_current_link(session, organisation.id)
    if current is None:
        return
    if current.person_id == person_id:
        raise ConflictError("you act for this organisation already")
    await _end(
        session,
        current,
        organisation=organisation,
        reason=EndReason.REPRESENTATIVE_REPLACED,
        now=now,
    )


async def _check_register(
    person: Account, command: RegisterOrganisation, *, provider: OrganisationProvider
) -> None:
    # Only a verified name can be compared with the register.
    is_named = person.level >= REAL_NAME_LEVEL and await provider.verify(
        command.uscc,
        name=command.name,
        representative=person.name or "",
        id_number=person.id_number or "",
    )
    if not is_named:
        fault = FieldError(
            "uscc",
            "legal_representative",
            message="the register does not name you as its legal representative",
        )
        raise InvalidInputError("the organisation could not be verified", [fault])


async def _add(session: AsyncSession, command: RegisterOrganisation, *, now: datetime) -> Account:
    organisation = Account.new(AccountKind.ORGANISATION, now)
    organisation.uscc = command.uscc
    organisation.name = command.name
    organisation.level = REAL_NAME_LEVEL
    session.add(organisation)
    await session.flush()
    outbox.add(session, organisation.registered())
    audit.record(session, "account.register", object_type="account", object_id=organisation.id)
    return organisation


async def leave_organisation(
    session: AsyncSession, organisation_id: UUID, *, person_id: UUID, now: datetime
) -> None:
    """The person acts for the organisation no more; sessions opened for it end at once.

    Raises:
        NotFoundError: the person does not represent it.
    """
    # Locks are taken in this order everywhere: account, link, sessions.
    _ = await queries.get_account(session, person_id, lock=True)
    link = await queries.lock_own_link(session, organisation_id, person_id=person_id)
    organisation = await queries.get_account(session, organisation_id)
    await _end(session, link, organisation=organisation, reason=EndReason.LINK_REMOVED, now=now)


async def _end(
    session: AsyncSession,
    link: OrganisationLink,
    *,
    organisation: Account,
    reason: EndReason,
    now: datetime,
) -> None:
    link.ended_at = now
    # Before the next link is inserted: the unique index allows one without an end.
    await session.flush()
    person = await queries.get_account(session, link.person_id, lock=True)
    outbox.add(session, person.unlinked(organisation, now))
    audit.record(
        session,
        "organisation.unlink",
        object_type="account",
        object_id=organisation.id,
        reason=reason,
        person=str(link.person_id),
    )
    _ = await end_sessions(
        session,
        link.person_id,
        reason=reason,
        now=now,
        chosen=lambda one: one.represents(organisation.id),
    )


async def act_for_organisation(
    session: AsyncSession,
    organisation_id: UUID,
    *,
    person_id: UUID,
    parent_id: UUID,
    settings: Settings,
    now: datetime,
) -> Tokens:
    """Tokens whose subject is the organisation and whose `act` is the person.

    They end with the session `parent_id`.

    Raises:
        NotFoundError: the person does not represent the organisation.
    """
    person = await queries.get_account(session, person_id, lock=True)
    link = await queries.lock_own_link(session, organisation_id, person_id=person_id)
    audit.record(session, "organisation.act", object_type="account", object_id=organisation_id)
    return await open_acting_session(
        session,
        person,
        parent_id=parent_id,
        principal_id=link.organisation_id,
        settings=settings,
        now=now,
    )
