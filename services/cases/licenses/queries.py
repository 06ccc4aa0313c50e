"""Every SELECT about licenses that meet materials."""

from collections.abc import Collection, Sequence
from datetime import date
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, any_, literal, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from services.cases.case_file.model.case import Case
from services.cases.case_file.model.enums import LicenseStatus
from services.cases.case_file.model.materials import LicenseCopy
from services.cases.case_file.model.states import IS_OPEN, State
from services.cases.case_file.queries import SECRET
from services.cases.licenses.model import CaseLicense


async def lock_licenses(session: AsyncSession, ids: Collection[UUID]) -> dict[UUID, LicenseCopy]:
    """The licenses among these, locked against change until the transaction ends.

    Lock them before the case: events about licenses do it in this order.
    """
    if not ids:
        return {}
    statement = select(LicenseCopy).where(LicenseCopy.license_id.in_(ids))
    # Shared: many applications may use one license, but its change must wait for them.
    statement = statement.order_by(LicenseCopy.license_id).with_for_update(read=True)
    return {copy.license_id: copy for copy in await session.scalars(statement)}


async def list_usable(
    session: AsyncSession,
    account_id: UUID,
    *,
    type_codes: Collection[str],
    holder: str | None,
    today: date,
    limit: int,
) -> Sequence[LicenseCopy]:
    """Licenses of an account that are evidence today, of these types, the newest first.

    `holder`: the pseudonym of an applicant; None for every holder of the account.
    """
    statement = select(LicenseCopy).where(
        LicenseCopy.account_id == account_id,
        LicenseCopy.type_code.in_(type_codes),
        LicenseCopy.status == LicenseStatus.VALID,
        # The copy says `valid` until the licenses service has told the end of the term.
        LicenseCopy.valid_from.is_(None) | (LicenseCopy.valid_from <= today),
        LicenseCopy.valid_until.is_(None) | (LicenseCopy.valid_until >= today),
    )
    if holder is not None:
        statement = statement.where(LicenseCopy.holder == holder)
    statement = statement.order_by(LicenseCopy.license_id.desc()).limit(limit)
    return (await session.scalars(statement)).all()


async def lock_cases_using(session: AsyncSession, license_ids: Collection[UUID]) -> Sequence[Case]:
    """The open cases that use these licenses, locked; without their secret parts and guides.

    A child that waits is among them: it will be received with these materials.
    """
    # An array, so that it is the same statement for any number of licenses.
    ids = literal(list(license_ids), ARRAY(Uuid()))
    case_ids = select(CaseLicense.case_id).where(CaseLicense.license_id == any_(ids))
    left_out = [defer(column, raiseload=True) for column in (Case.guide, Case.missing, *SECRET)]
    is_waiting = Case.state == State.WAITING
    statement = select(Case).options(*left_out)
    statement = statement.where(Case.id.in_(case_ids), is_waiting | text(IS_OPEN))
    # Waiting children last: an act that ends their predecessor locks them in this order, too.
    statement = statement.order_by(is_waiting, Case.id).with_for_update()
    return (await session.scalars(statement)).all()
