"""SELECTs of uses, authorisations, jobs and figures."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.licenses.model.license import UNSIGNED, License
from services.licenses.model.records import COUNTS, LicenseUse, SigningJob, UseAuthorisation
from shared.errors import NotFoundError

_WHERE = (
    " WHERE (CAST(:area AS text) IS NULL OR area_code = :area)"
    " AND (CAST(:department AS text) IS NULL OR department_code = :department)"
    " AND (CAST(:type AS text) IS NULL OR type_code = :type)"
)
_SUMS = ", ".join(f"coalesce(sum({name}), 0)::bigint AS {name}" for name in COUNTS)
_COLUMNS = ", ".join(COUNTS)
STATISTICS = text(
    f"SELECT (SELECT count(*) FROM license_type WHERE CAST(:type AS text) IS NULL OR code = :type) AS types, {_SUMS}"
    f" FROM (SELECT {_COLUMNS} FROM license_count{_WHERE}"
    f" UNION ALL SELECT {_COLUMNS} FROM license_counting{_WHERE}) AS counted"
)


async def lock_authorisation(session: AsyncSession, code_hash: bytes) -> UseAuthorisation | None:
    statement = select(UseAuthorisation).where(UseAuthorisation.code_hash == code_hash)
    return await session.scalar(statement.with_for_update())


async def list_authorisations(
    session: AsyncSession, license_id: UUID, after: UUID, limit: int
) -> Sequence[UseAuthorisation]:
    one = UseAuthorisation
    statement = select(one).where(one.license_id == license_id, one.id > after).order_by(one.id)
    return (await session.scalars(statement.limit(limit + 1))).all()


async def list_uses(
    session: AsyncSession, license_id: UUID, after: UUID, limit: int
) -> Sequence[LicenseUse]:
    statement = select(LicenseUse).where(LicenseUse.license_id == license_id, LicenseUse.id > after)
    return (await session.scalars(statement.order_by(LicenseUse.id).limit(limit + 1))).all()


async def count_unsigned(
    session: AsyncSession, area: str, department: str, type_code: str | None
) -> int:
    """How many of the department's licences nobody has signed; by an index that holds these alone."""
    statement = (
        select(func.count())
        .select_from(License)
        .where(License.area_code == area, License.department_code == department, text(UNSIGNED))
    )
    if type_code is not None:
        statement = statement.where(License.type_code == type_code)
    return await session.scalar(statement) or 0


async def get_job(session: AsyncSession, job_id: UUID) -> SigningJob:
    job = await session.get(SigningJob, job_id)
    if job is None:
        raise NotFoundError("no such job of yours")
    return job


async def get_statistics(
    session: AsyncSession, area: str | None, department: str | None, type_code: str | None
) -> Any:
    """The sums and what is not folded into them yet, in one statement."""
    return (
        await session.execute(
            STATISTICS, {"area": area, "department": department, "type": type_code}
        )
    ).one()
