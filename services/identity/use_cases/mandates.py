"""Mandates (授权代办): granted to a person named by ID number, accepted by that person, revoked by
either at any time.
"""

from datetime import date, datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.identity import queries
from services.identity.model import EndReason, Mandate
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
"""A mandate without end would outlive its purpose."""


async def grant_mandate(
    session: AsyncSession, principal_id: UUID, *, command: GrantMandate, now: datetime
) -> Mandate:
    """Offer a mandate to whoever holds that ID number, with or without an account.

    Raises:
        InvalidInputError: it is for oneself, or its term is wrong.
    """
    principal = await queries.get_account(session, principal_id)
    agent_id_hash = lookup_hash(command.agent_id_number, purpose="id_number")
    faults: list[FieldError] = []
    if agent_id_hash == principal.id_number_hash:
        faults.append(
            FieldError(
                "agent_id_number", "another", message="one needs no mandate to act for oneself"
            )
        )
    term_fault = _check_term(command.valid_until, today=clock.local_date(now))
    if term_fault is not None:
        faults.append(term_fault)
    if faults:
        raise InvalidInputError("the mandate cannot be granted", faults)
    mandate = Mandate.new(
        principal,
        agent_name=command.agent_name,
        agent_id_hash=agent_id_hash,
        matters=command.matters,
        valid_until=command.valid_until,
        now=now,
    )
    session.add(mandate)
    audit.record(
        session,
        "mandate.offer",
        object_type="mandate",
        object_id=mandate.id,
        valid_until=str(mandate.valid_until),
    )
    return mandate


def _check_term(valid_until: date, *, today: date) -> FieldError | None:
    latest = today + LONGEST
    if today <= valid_until <= latest:
        return None
    return FieldError(
        "valid_until", "term", message="from today to {latest}", latest=latest.isoformat()
    )


def no_such_mandate() -> NotFoundError:
    """The answer for a mandate that is not there, or concerns others."""
    return NotFoundError("no such mandate of yours")


async def accept_mandate(
    session: AsyncSession, mandate_id: UUID, *, agent_id: UUID, now: datetime
) -> Mandate:
    """The person whom it names takes it on and may act from then on.

    Raises:
        NotFoundError: it names somebody else.
        ConflictError: it is not offered (any more).
    """
    agent = await queries.get_account(session, agent_id)
    mandate = await queries.get_mandate(session, mandate_id, lock=True)
    if not mandate.names(agent):
        raise no_such_mandate()
    outbox.add(session, mandate.accept(agent, now))
    audit.record(session, "mandate.accept", object_type="mandate", object_id=mandate.id)
    return mandate


async def revoke_mandate(
    session: AsyncSession, mandate_id: UUID, *, account_id: UUID, reason: str, now: datetime
) -> Mandate:
    """Principal or agent ends it; what the agent opened under it ends at once.

    Raises:
        NotFoundError: the account is neither.
        ConflictError: it is revoked already.
    """
    account = await queries.get_account(session, account_id)
    # Read without a lock first: whose account to lock is only known from it.
    found = await queries.get_mandate(session, mandate_id)
    if account.id != found.principal_id and not found.names(account):
        raise no_such_mandate()
    # Locks are taken in this order everywhere: account, mandate, sessions.
    if found.agent_id is not None:
        _ = await queries.get_account(session, found.agent_id, lock=True)
    mandate = await queries.get_mandate(session, mandate_id, lock=True)
    event = mandate.revoke(reason, now)
    if event is not None:
        outbox.add(session, event)
    audit.record(
        session, "mandate.revoke", object_type="mandate", object_id=mandate.id, reason=reason
    )
    if mandate.agent_id is not None:
        _ = await end_sessions(
            session,
            mandate.agent_id,
            reason=EndReason.MANDATE_REVOKED,
            now=now,
            chosen=lambda one: one.mandate_id == mandate.id,
        )
    return mandate


async def act_under_mandate(
    session: AsyncSession,
    mandate_id: UUID,
    *,
    agent_id: UUID,
    parent_id: UUID,
    settings: Settings,
    now: datetime,
) -> Tokens:
    """Tokens whose subject is the principal and whose `act` is the agent.

    They are valid no longer than the mandate and the session `parent_id`.

    Raises:
        NotFoundError: the mandate names somebody else.
        ConflictError: it is not accepted, or over.
    """
    agent = await queries.get_account(session, agent_id, lock=True)
    mandate = await queries.get_mandate(session, mandate_id, lock=True)
    if mandate.agent_id != agent.id and not mandate.names(agent):
        raise no_such_mandate()
    mandate.check_running(now)
    audit.record(
        session,
        "mandate.act",
        object_type="mandate",
        object_id=mandate.id,
        principal=str(mandate.principal_id),
    )
    return await open_acting_session(
        session,
        agent,
        parent_id=parent_id,
        principal_id=mandate.principal_id,
        settings=settings,
        now=now,
        mandate=mandate,
    )
