"""Mandates (授权代办): granted to a person named by her ID number, accepted by her, revoked by either at any time."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.identity import queries
from services.identity.model import Mandate
from services.identity.schemas import GrantMandate, Tokens
from services.identity.settings import Settings
from services.identity.use_cases.issuing import open_acting_session
from services.identity.use_cases.sessions import end_sessions
from shared import clock
from shared.database import audit
from shared.errors import FieldError, InvalidInputError, NotFoundError
from shared.messaging import outbox
from shared.security.crypto import lookup_hash

LONGEST = timedelta(days=3 * 366)
"""A mandate without end would outlive what it was given for."""


async def grant_mandate(
    session: AsyncSession, principal_id: UUID, command: GrantMandate, now: datetime
) -> Mandate:
    """Offer a mandate. Whether an account has that ID number is not told: the offer waits for its holder."""
    principal = await queries.get_account(session, principal_id)
    agent_hash, today = lookup_hash(command.agent_id_number, "id_number"), clock.local_date(now)
    faults: list[FieldError] = []
    if agent_hash == principal.id_number_hash:
        faults.append(
            FieldError("agent_id_number", "another", "one needs no mandate to act for oneself")
        )
    if not today <= command.valid_until <= today + LONGEST:
        faults.append(FieldError("valid_until", "term", f"from today to {today + LONGEST}"))
    if faults:
        raise InvalidInputError("the mandate cannot be granted", faults)
    mandate = Mandate.new(
        principal, command.agent_name, agent_hash, command.matters, command.valid_until, now
    )
    session.add(mandate)
    audit.record(
        session, "mandate.offer", "mandate", mandate.id, valid_until=str(mandate.valid_until)
    )
    return mandate


async def accept_mandate(
    session: AsyncSession, mandate_id: UUID, agent_id: UUID, now: datetime
) -> Mandate:
    """The person whom it names takes it on; from then on she may act."""
    agent = await queries.get_account(session, agent_id)
    mandate = await queries.get_mandate(session, mandate_id, lock=True)
    if not mandate.names(agent):
        raise NotFoundError("no such mandate of yours")
    outbox.add(session, mandate.accept(agent, now))
    audit.record(session, "mandate.accept", "mandate", mandate.id)
    return mandate


async def revoke_mandate(
    session: AsyncSession, mandate_id: UUID, account_id: UUID, reason: str, now: datetime
) -> Mandate:
    """Principal or agent ends it; what the agent opened under it ends at once."""
    account = await queries.get_account(session, account_id)
    found = await queries.get_mandate(session, mandate_id)
    if account.id != found.principal_id and not found.names(account):
        raise NotFoundError("no such mandate of yours")
    if found.agent_id is not None:
        _ = await queries.get_account(
            session, found.agent_id, lock=True
        )  # account, mandate, sessions, in this order
    mandate = await queries.get_mandate(session, mandate_id, lock=True)
    fact = mandate.revoke(reason, now)
    if fact is not None:
        outbox.add(session, fact)
    audit.record(session, "mandate.revoke", "mandate", mandate.id, reason=reason)
    if mandate.agent_id is not None:
        _ = await end_sessions(
            session,
            mandate.agent_id,
            "mandate revoked",
            now,
            chosen=lambda one: one.mandate_id == mandate.id,
        )
    return mandate


async def act_under_mandate(
    session: AsyncSession,
    agent_id: UUID,
    parent_id: UUID,
    mandate_id: UUID,
    settings: Settings,
    now: datetime,
) -> Tokens:
    """Tokens whose subject is the principal and whose `act` is the agent, for no longer than the mandate runs."""
    agent = await queries.get_account(session, agent_id, lock=True)
    mandate = await queries.get_mandate(session, mandate_id, lock=True)
    if mandate.agent_id != agent.id and not mandate.names(agent):
        raise NotFoundError("no such mandate of yours")
    mandate.check_running(now)
    audit.record(session, "mandate.act", "mandate", mandate.id, principal=str(mandate.principal_id))
    return await open_acting_session(
        session, agent, parent_id, mandate.principal_id, settings, now, mandate=mandate
    )
