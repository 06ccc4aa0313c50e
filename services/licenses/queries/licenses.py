"""SELECTs of licences."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.licenses.model.license import License, LicenseStep, LicenseVersion
from services.licenses.model.records import CheckTries, SigningKey
from services.licenses.model.states import Status
from services.licenses.model.types import LicenseTypeVersion
from shared.database import guess_limits
from shared.database.direct import UntypedDirect
from shared.database.guess_limits import Try
from shared.errors import NotFoundError

FIRST = UUID(int=0)
LICENSE: Any = License.__table__.c
VERSION: Any = LicenseVersion.__table__.c
_SHOWN = (
    "id",
    "revision",
    "identifier",
    "number",
    "type_code",
    "type_name",
    "status",
    "trust",
    "signed",
)
SUMMARY = [LICENSE[name] for name in (*_SHOWN, "issued_on", "valid_until", "holder_kind", "holder")]
"""What a list shows of a licence, and by what its number is masked."""
NOT_YOURS = "no such licence of yours"

READ = (
    select(
        *LICENSE,
        VERSION.record,
        VERSION.signature,
        VERSION.kid,
        LicenseTypeVersion.__table__.c.document.label("definition"),
    )
    .join(
        LicenseVersion.__table__,
        (VERSION.license_id == LICENSE.id) & (VERSION.version == LICENSE.version),
    )
    .join(
        LicenseTypeVersion.__table__,
        (LicenseTypeVersion.__table__.c.code == LICENSE.type_code)
        & (LicenseTypeVersion.__table__.c.version == LICENSE.type_version),
    )
)
"""A licence with what its present version says, and the type's definition that names its fields."""
READ_ONE = UntypedDirect(READ.where(LICENSE.id == bindparam("license_id")))

# The statements are made once: to make them costs more than to run them.
_JUDGED = (
    "id",
    "type_code",
    "type_name",
    "issuer_code",
    "status",
    "trust",
    "issued_on",
    "valid_from",
    "valid_until",
)
_CHECK = (
    select(
        *(LICENSE[name] for name in _JUDGED),
        LICENSE.version.label("newest"),
        VERSION.version,
        VERSION.identifier,
        VERSION.digest,
        VERSION.record,
        VERSION.signature,
        VERSION.kid,
        SigningKey.__table__.c.public_key,
    )
    .join(LicenseVersion.__table__, VERSION.license_id == LICENSE.id)
    .outerjoin(SigningKey.__table__, SigningKey.__table__.c.kid == VERSION.kid)
)


def _check(*which: ColumnElement[bool]) -> UntypedDirect:
    return guess_limits.counting(_CHECK.where(*which).order_by(LICENSE.id).limit(5), CheckTries)


CHECK_BY_TOKEN = _check(
    LICENSE.id == bindparam("token_id"), VERSION.version == bindparam("token_version")
)
CHECK_BY_IDENTIFIER = _check(VERSION.identifier == bindparam("asked"))
CHECK_BY_NUMBER = _check(
    LICENSE.type_code == bindparam("asked_type"),
    LICENSE.number == bindparam("asked_number"),
    VERSION.version == LICENSE.version,
)


async def lock_license(session: AsyncSession, license_id: UUID) -> License:
    found = await session.get(License, license_id, with_for_update=True)
    if found is None:
        raise NotFoundError(NOT_YOURS)
    return found


async def get_license(session: AsyncSession, license_id: UUID) -> License:
    found = await session.get(License, license_id)
    if found is None:
        raise NotFoundError(NOT_YOURS)
    return found


async def get_version(session: AsyncSession, license: License) -> LicenseVersion:
    """The present version."""
    found = await session.get(LicenseVersion, (license.id, license.version))
    assert found is not None
    return found


async def read_license(session: AsyncSession, license_id: UUID) -> Any:
    """One licence as answers show it, in one statement."""
    row = await READ_ONE.first(session, license_id=license_id)
    if row is None:
        raise NotFoundError(NOT_YOURS)
    return row


async def list_own(
    session: AsyncSession, account_id: UUID, after: UUID, limit: int
) -> Sequence[Any]:
    """Licences of an account."""
    statement = select(*SUMMARY).where(LICENSE.account_id == account_id, LICENSE.id > after)
    return (await session.execute(statement.order_by(LICENSE.id).limit(limit + 1))).all()


@dataclass(frozen=True, slots=True)
class LicenseFilter:
    """What of a department's licences an officer asks for; `holder` a pseudonym."""

    type_code: str | None = None
    status: Status | None = None
    number: str | None = None
    holder: str | None = None


async def list_issued(
    session: AsyncSession, place: tuple[str, str], which: LicenseFilter, after: UUID, limit: int
) -> Sequence[Any]:
    """Licences of a department in the order they were made."""
    statement: Any = select(*SUMMARY).where(
        LICENSE.area_code == place[0], LICENSE.department_code == place[1], LICENSE.id > after
    )
    for name in ("type_code", "status", "number", "holder"):
        if (value := getattr(which, name)) is not None:
            statement = statement.where(LICENSE[name] == value)
    return (await session.execute(statement.order_by(LICENSE.id).limit(limit + 1))).all()


async def list_versions(session: AsyncSession, license_id: UUID) -> Sequence[Any]:
    """The chain, oldest first, without the records."""
    columns = [column for column in VERSION if column.key not in {"record", "made_by"}]
    statement = select(*columns).where(VERSION.license_id == license_id).order_by(VERSION.version)
    return (await session.execute(statement)).all()


async def list_steps(session: AsyncSession, license_id: UUID) -> Sequence[LicenseStep]:
    statement = (
        select(LicenseStep).where(LicenseStep.license_id == license_id).order_by(LicenseStep.id)
    )
    return (await session.scalars(statement)).all()


async def find_check(
    session: AsyncSession,
    one: Try,
    *,
    token: tuple[UUID, int] | None = None,
    identifier: str | None = None,
    number: tuple[str, str] | None = None,
) -> Sequence[Any]:
    """What a check judges: the version that was asked for, or the newest ones with that type and number.

    It counts as a try; 429 when the budget is used up.
    """
    if token is not None:
        return await guess_limits.ask(
            session, CHECK_BY_TOKEN, one, token_id=token[0], token_version=token[1]
        )
    if identifier is not None:
        return await guess_limits.ask(session, CHECK_BY_IDENTIFIER, one, asked=identifier)
    type_code, text = number or ("", "")
    return await guess_limits.ask(
        session, CHECK_BY_NUMBER, one, asked_type=type_code, asked_number=text
    )
