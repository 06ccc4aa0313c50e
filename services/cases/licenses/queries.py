"""Every SELECT about licences that meet materials."""

from collections.abc import Collection, Sequence
from datetime import date
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, any_, literal, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from services.cases.case_file.model.case import Case
from services.cases.case_file.model.license_copies import VALID, LicenseCopy
from services.cases.case_file.model.states import IS_OPEN, State
from services.cases.case_file.queries import SECRET
from services.cases.licenses.model import CaseLicense


async def lock_licenses(session: AsyncSession, ids: Collection[UUID]) -> dict[UUID, LicenseCopy]:
    """The licences among these, locked against change until the transaction ends; lock them before the case."""
    if not ids:
        return {}
    statement = (
        select(LicenseCopy).where(LicenseCopy.license_id.in_(ids)).order_by(LicenseCopy.license_id)
    )
    return {
        one.license_id: one for one in await session.scalars(statement.with_for_update(read=True))
    }


async def list_usable(
    session: AsyncSession,
    account_id: UUID,
    type_codes: Collection[str],
    holder: str | None,
    today: date,
    limit: int,
) -> Sequence[LicenseCopy]:
    """Licences of an account that are evidence today, of these types, of `holder` alone where one is named."""
    statement = select(LicenseCopy).where(
        LicenseCopy.account_id == account_id,
        LicenseCopy.type_code.in_(type_codes),
        LicenseCopy.status == VALID,
        LicenseCopy.valid_from.is_(None) | (LicenseCopy.valid_from <= today),
        LicenseCopy.valid_until.is_(None) | (LicenseCopy.valid_until >= today),
    )
    if holder is not None:
        statement = statement.where(LicenseCopy.holder == holder)
    return (
        await session.scalars(statement.order_by(LicenseCopy.license_id.desc()).limit(limit))
    ).all()


async def list_resting_on(session: AsyncSession, license_ids: Collection[UUID]) -> Sequence[Case]:
    """The open cases that use these licences, locked; without their secret parts and guides.

    A child that waits is received with these materials later, so it must learn of it too.
    """
    ids = literal(list(license_ids), ARRAY(Uuid()))  # One statement, whatever their number.
    using = select(CaseLicense.case_id).where(CaseLicense.license_id == any_(ids))
    light = [defer(column, raiseload=True) for column in (Case.guide, Case.missing, *SECRET)]
    is_waiting = Case.state == State.WAITING
    statement = select(Case).options(*light).where(Case.id.in_(using), is_waiting | text(IS_OPEN))
    # The children that wait last, as an act that ends their predecessor locks them.
    return (await session.scalars(statement.order_by(is_waiting, Case.id).with_for_update())).all()
