"""Every SELECT of invitations."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.invitations.model.invitation import Invitation
from shared.errors import NotFoundError

HAS_CASE = Invitation.case_id.is_not(None)
"""The event of the case itself has come; before it, only a department says so."""
EVENTS_MAX = 20
"""Service events of one case that are listed; no case has so many."""


async def get_invitation(session: AsyncSession, invitation_id: UUID) -> Invitation:
    invitation = await session.get(Invitation, invitation_id)
    if invitation is None:
        raise NotFoundError("no such invitation of yours")
    return invitation


async def find_invitation(session: AsyncSession, invitation_id: UUID) -> Invitation | None:
    return await session.get(Invitation, invitation_id)


async def lock_invitation(session: AsyncSession, invitation_id: UUID) -> Invitation | None:
    """The invitation as it is once nobody else works on it."""
    return await session.get(
        # The session may know the row from before the lock, and would keep those old values.
        Invitation,
        invitation_id,
        with_for_update=True,
        populate_existing=True,
    )


async def lock_visit(session: AsyncSession, visit: str) -> Invitation | None:
    """The invitation to this visit, locked."""
    statement = select(Invitation).where(Invitation.visit == visit).with_for_update()
    return await session.scalar(statement)


async def find_of_case(
    session: AsyncSession, case_number: str, *, service_number: int | None, lock: bool = True
) -> Invitation | None:
    """The invitation to this service event of a case; to its last event where None is named."""
    statement = select(Invitation).where(Invitation.case_number == case_number, HAS_CASE)
    if service_number is not None:
        statement = statement.where(Invitation.service_number == service_number)
    statement = statement.order_by(Invitation.service_number.desc()).limit(1)
    if lock:
        statement = statement.with_for_update()
    return await session.scalar(statement)


async def list_of_case(session: AsyncSession, case_number: str) -> Sequence[Invitation]:
    """The service events of a case."""
    statement = select(Invitation).where(Invitation.case_number == case_number)
    statement = statement.order_by(Invitation.service_number).limit(EVENTS_MAX)
    return (await session.scalars(statement)).all()


async def lock_of_cases(session: AsyncSession, case_numbers: Sequence[str]) -> Sequence[Invitation]:
    """The service events of many cases, locked; the last event of a case comes last."""
    statement = select(Invitation).where(Invitation.case_number.in_(case_numbers), HAS_CASE)
    statement = statement.order_by(Invitation.service_number).with_for_update()
    return (await session.scalars(statement)).all()


async def list_invitations(
    session: AsyncSession, account_id: UUID, *, after: UUID, limit: int
) -> Sequence[Invitation]:
    """What an account may rate or has rated; one more than `limit`."""
    statement = select(Invitation).where(Invitation.account_id == account_id, Invitation.id > after)
    return (await session.scalars(statement.order_by(Invitation.id).limit(limit + 1))).all()


async def lock_invitations(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, Invitation]:
    """These invitations by id, locked in the order of their ids."""
    statement = select(Invitation).where(Invitation.id.in_(ids)).order_by(Invitation.id)
    statement = statement.with_for_update().execution_options(populate_existing=True)
    return {invitation.id: invitation for invitation in await session.scalars(statement)}


async def list_unsent(session: AsyncSession, limit: int) -> Sequence[Invitation]:
    """Invitations whose message waits, claimed for this worker."""
    # As SQL, letter for letter the condition of the partial index.
    statement = select(Invitation).where(text("sms_pending")).order_by(Invitation.id)
    return (await session.scalars(statement.limit(limit).with_for_update(skip_locked=True))).all()


async def find_contact_names(
    session: AsyncSession, invitation_ids: Sequence[UUID]
) -> dict[UUID, str | None]:
    """Names of the applicants, by invitation."""
    statement = select(Invitation.id, Invitation.contact_name)
    rows = await session.execute(statement.where(Invitation.id.in_(invitation_ids)))
    return dict(rows.all())
