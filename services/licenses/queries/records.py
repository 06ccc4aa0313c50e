"""SELECTs of uses, authorisations, signing jobs, keys and statistics."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import LargeBinary, func, select, text, type_coerce
from sqlalchemy.ext.asyncio import AsyncSession

from services.licenses.model.license import License, LicenseRow, LicenseVersion
from services.licenses.model.records import (
    COUNTS,
    LicenseUse,
    SigningJob,
    SigningKey,
    UseAuthorisation,
)
from services.licenses.model.states import UNSIGNED_SQL
from shared.database.direct import Direct
from shared.database.key_ring import Jwk
from shared.errors import NotFoundError


class StatisticsRow(NamedTuple):
    """The number of types, and the sums of all counts."""

    types: int
    collected: int
    issued: int
    signed: int
    uses: int
    refused_uses: int
    license_materials: int
    licenses_used: int


_WHERE = """
WHERE (CAST(:area AS text) IS NULL OR area_code = :area)
AND (CAST(:department AS text) IS NULL OR department_code = :department)
AND (CAST(:type AS text) IS NULL OR type_code = :type)
"""
_COLUMNS = ", ".join(COUNTS)
_SUMS = ", ".join(f"coalesce(sum({name}), 0)::bigint AS {name}" for name in COUNTS)
STATISTICS = Direct(
    f"""SELECT
(SELECT count(*) FROM license_type WHERE CAST(:type AS text) IS NULL OR code = :type) AS types,
{_SUMS}
FROM (
    SELECT {_COLUMNS} FROM license_count {_WHERE}
    UNION ALL SELECT {_COLUMNS} FROM license_counting {_WHERE}
) AS counted""",
    StatisticsRow,
)


async def lock_authorisation(session: AsyncSession, code_hash: bytes) -> UseAuthorisation | None:
    statement = select(UseAuthorisation).where(UseAuthorisation.code_hash == code_hash)
    return await session.scalar(statement.with_for_update())


async def list_authorisations(
    session: AsyncSession, license_id: UUID, *, after: UUID, limit: int
) -> Sequence[UseAuthorisation]:
    """Authorisations of a license: one more than `limit`, if there are more."""
    statement = (
        select(UseAuthorisation)
        .where(UseAuthorisation.license_id == license_id, UseAuthorisation.id > after)
        .order_by(UseAuthorisation.id)
        .limit(limit + 1)
    )
    return (await session.scalars(statement)).all()


async def list_uses(
    session: AsyncSession, license_id: UUID, *, after: UUID, limit: int
) -> Sequence[LicenseUse]:
    """Uses of a license: one more than `limit`, if there are more."""
    statement = (
        select(LicenseUse)
        .where(LicenseUse.license_id == license_id, LicenseUse.id > after)
        .order_by(LicenseUse.id)
        .limit(limit + 1)
    )
    return (await session.scalars(statement)).all()


async def count_unsigned(
    session: AsyncSession, *, area: str, department: str, type_code: str | None
) -> int:
    """How many of the department's licenses nobody has signed; a partial index holds just these."""
    statement = (
        select(func.count())
        .select_from(License)
        .where(License.area_code == area, License.department_code == department, text(UNSIGNED_SQL))
    )
    if type_code is not None:
        statement = statement.where(License.type_code == type_code)
    return await session.scalar(statement) or 0


async def get_job(session: AsyncSession, job_id: UUID) -> SigningJob:
    """The job.

    Raises:
        NotFoundError: there is none.
    """
    job = await session.get(SigningJob, job_id)
    if job is None:
        raise NotFoundError("no such job of yours")
    return job


async def lock_waiting_job(session: AsyncSession) -> SigningJob | None:
    """The oldest unfinished job that no other worker holds, locked."""
    statement = (
        select(SigningJob)
        .where(text("finished_at IS NULL"))
        .order_by(SigningJob.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    return await session.scalar(statement)


class UnsignedRow(NamedTuple):
    """A license to be signed, with its record as it is encrypted."""

    license: LicenseRow
    sealed_record: bytes


async def lock_unsigned(
    session: AsyncSession, job: SigningJob, *, limit: int
) -> Sequence[UnsignedRow]:
    """The next licenses of the job, locked in the order of their ids."""
    # Read as it is stored: one record that cannot be decrypted must not fail the whole batch.
    sealed = type_coerce(LicenseVersion.record, LargeBinary)
    statement = (
        select(*License.__table__.columns, sealed)
        .join(
            LicenseVersion,
            (LicenseVersion.license_id == License.id) & (LicenseVersion.version == License.version),
        )
        .where(
            License.area_code == job.area_code,
            License.department_code == job.department_code,
            text(UNSIGNED_SQL),
            License.id > job.reached,
            License.id < job.id,
        )
    )
    if job.type_code is not None:
        statement = statement.where(License.type_code == job.type_code)
    statement = statement.order_by(License.id).limit(limit).with_for_update(of=License)
    rows: list[UnsignedRow] = []
    for *columns, sealed_record in await session.execute(statement):
        rows.append(UnsignedRow(LicenseRow(*columns), sealed_record))
    return rows


async def get_statistics(
    session: AsyncSession, *, area: str | None, department: str | None, type_code: str | None
) -> StatisticsRow:
    """The sums and the counts that are not added to them yet, in one statement."""
    row = await STATISTICS.first(session, area=area, department=department, type=type_code)
    assert row is not None
    return row


async def list_public_keys(session: AsyncSession) -> Sequence[Jwk]:
    """Every public key that has ever signed."""
    return (await session.scalars(select(SigningKey.public_key).order_by(SigningKey.kid))).all()
