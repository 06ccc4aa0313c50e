"""Invitations."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.invitations.model.invitation import Invitation
from shared.errors import NotFoundError

COME = Invitation.case_id.is_not(None)
"""The case's own fact has come."""


async def get_invitation(session: AsyncSession, invitation_id: UUID) -> Invitation:
    invitation = await session.get(Invitation, invitation_id)
    if invitation is None:
        raise NotFoundError("no such invitation of yours")
    return invitation


async def lock_invitation(session: AsyncSession, invitation_id: UUID) -> Invitation | None:
    """The invitation as it is once nobody else works on it."""
    return await session.get(
        Invitation, invitation_id, with_for_update=True, populate_existing=True
    )


async def find_by_visit(session: AsyncSession, visit: str) -> Invitation | None:
    return await session.scalar(
        select(Invitation).where(Invitation.visit == visit).with_for_update()
    )


async def find_of_case(
    session: AsyncSession, case_number: str, service_number: int | None, *, lock: bool = True
) -> Invitation | None:
    """This service event of a case, else its last."""
    statement = select(Invitation).where(Invitation.case_number == case_number, COME)
    if service_number is not None:
        statement = statement.where(Invitation.service_number == service_number)
    statement = statement.order_by(Invitation.service_number.desc()).limit(1)
    return await session.scalar(statement.with_for_update() if lock else statement)


async def find_of_account(
    session: AsyncSession, account_id: UUID, case_number: str, service_number: int | None
) -> Invitation | None:
    invitation = await find_of_case(session, case_number, service_number)
    return invitation if invitation is not None and invitation.account_id == account_id else None


async def list_of_case(session: AsyncSession, case_number: str) -> Sequence[Invitation]:
    """The service events of a case, at most a few."""
    statement = select(Invitation).where(Invitation.case_number == case_number)
    return (await session.scalars(statement.order_by(Invitation.service_number).limit(20))).all()


async def list_of_cases(session: AsyncSession, case_numbers: Sequence[str]) -> Sequence[Invitation]:
    """The service events of many cases, locked, the last of a case last."""
    statement = select(Invitation).where(Invitation.case_number.in_(case_numbers), COME)
    return (
        await session.scalars(statement.order_by(Invitation.service_number).with_for_update())
    ).all()


async def list_invitations(
    session: AsyncSession, account_id: UUID, after: UUID, limit: int
) -> Sequence[Invitation]:
    """What an account may rate or has rated."""
    statement = select(Invitation).where(Invitation.account_id == account_id, Invitation.id > after)
    return (await session.scalars(statement.order_by(Invitation.id).limit(limit + 1))).all()


async def list_locked(session: AsyncSession, ids: Sequence[UUID]) -> Sequence[Invitation]:
    statement = (
        select(Invitation).where(Invitation.id.in_(ids)).order_by(Invitation.id).with_for_update()
    )
    return (await session.scalars(statement.execution_options(populate_existing=True))).all()


async def list_unsent(session: AsyncSession, limit: int) -> Sequence[Invitation]:
    """Invitations whose message waits, claimed for this worker."""
    statement = select(Invitation).where(text("sms_pending")).order_by(Invitation.id)
    return (await session.scalars(statement.limit(limit).with_for_update(skip_locked=True))).all()
