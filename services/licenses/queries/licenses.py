"""SELECTs of licenses."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Integer, bindparam, select, type_coerce
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from services.licenses.model.license import License, LicenseStep, LicenseVersion
from services.licenses.model.records import CheckTries, SigningKey
from services.licenses.model.states import HolderKind, Operation, Origin, Status, Trust
from services.licenses.model.types import LicenseTypeVersion, TypeDocument
from shared.database.direct import Direct
from shared.database.guess_limits import Guess, LimitedLookup
from shared.errors import NotFoundError

FIRST = UUID(int=0)
"""Smaller than every id: where the first page begins."""


def no_such_license() -> NotFoundError:
    """The answer for a license that is not there, or that the caller may not know of."""
    return NotFoundError("no such licence of yours")


class LicenseView(NamedTuple):
    """A license with the record of its present version and the definition of its type."""

    id: UUID
    revision: int
    version: int
    identifier: str
    number: str
    type_code: str
    type_version: int
    type_name: dict[str, str]
    area_code: str
    department_code: str
    issuer_code: str
    holder_kind: HolderKind
    holder: str
    account_id: UUID | None
    status: Status
    trust: Trust
    origin: Origin
    signed: bool
    issued_on: date
    valid_from: date
    valid_until: date | None
    digest: str
    case_id: UUID | None
    case_number: str | None
    matter_name: str | None
    changed_at: datetime
    record: str
    signature: str | None
    definition_json: object

    def definition(self) -> TypeDocument:
        """The type's definition under which the present version was made."""
        return TypeDocument.model_validate(self.definition_json)


# Statements are built once: building one costs more than running it.
READ_ONE = Direct(
    select(
        License.id,
        License.revision,
        License.version,
        License.identifier,
        License.number,
        License.type_code,
        License.type_version,
        License.type_name,
        License.area_code,
        License.department_code,
        License.issuer_code,
        License.holder_kind,
        License.holder,
        License.account_id,
        License.status,
        License.trust,
        License.origin,
        License.signed,
        License.issued_on,
        License.valid_from,
        License.valid_until,
        License.digest,
        License.case_id,
        License.case_number,
        License.matter_name,
        License.changed_at,
        LicenseVersion.record,
        LicenseVersion.signature,
        # As plain JSON: the holder's own view needs no definition, so it is parsed on demand.
        type_coerce(LicenseTypeVersion.document, JSONB).label("definition_json"),
    )
    .join(
        LicenseVersion,
        (LicenseVersion.license_id == License.id) & (LicenseVersion.version == License.version),
    )
    .join(
        LicenseTypeVersion,
        (LicenseTypeVersion.code == License.type_code)
        & (LicenseTypeVersion.version == License.type_version),
    )
    .where(License.id == bindparam("license_id")),
    LicenseView,
)


class SummaryRow(NamedTuple):
    """What a list shows of a license, and what is needed to mask its number."""

    id: UUID
    revision: int
    identifier: str
    number: str
    type_code: str
    type_name: dict[str, str]
    status: Status
    trust: Trust
    signed: bool
    issued_on: date
    valid_until: date | None
    holder_kind: HolderKind
    holder: str


SUMMARY = select(
    License.id,
    License.revision,
    License.identifier,
    License.number,
    License.type_code,
    License.type_name,
    License.status,
    License.trust,
    License.signed,
    License.issued_on,
    License.valid_until,
    License.holder_kind,
    License.holder,
)
LIST_OWN = Direct(
    SUMMARY.where(License.account_id == bindparam("account_id"), License.id > bindparam("after"))
    .order_by(License.id)
    .limit(bindparam("limit", type_=Integer)),
    SummaryRow,
)


class VersionRow(NamedTuple):
    """A version of the chain, without its record."""

    version: int
    identifier: str
    previous: str | None
    digest: str
    kid: str | None
    signature: str | None
    act: Operation
    reason: str | None
    made_at: datetime


VERSIONS = Direct(
    select(
        LicenseVersion.version,
        LicenseVersion.identifier,
        LicenseVersion.previous,
        LicenseVersion.digest,
        LicenseVersion.kid,
        LicenseVersion.signature,
        LicenseVersion.act,
        LicenseVersion.reason,
        LicenseVersion.made_at,
    )
    .where(LicenseVersion.license_id == bindparam("license_id"))
    .order_by(LicenseVersion.version),
    VersionRow,
)


class CheckRow(NamedTuple):
    """What a check examines: a version, its license as it stands now, and the key that signed."""

    id: UUID
    type_code: str
    type_name: dict[str, str]
    issuer_code: str
    status: Status
    trust: Trust
    issued_on: date
    valid_from: date
    valid_until: date | None
    newest_version: int
    version: int
    identifier: str
    digest: str
    record: str
    signature: str | None
    kid: str | None
    public_key: dict[str, Any] | None
    """A JWK, whose members depend on the algorithm."""


CHECK = (
    select(
        License.id,
        License.type_code,
        License.type_name,
        License.issuer_code,
        License.status,
        License.trust,
        License.issued_on,
        License.valid_from,
        License.valid_until,
        License.version.label("newest_version"),
        LicenseVersion.version,
        LicenseVersion.identifier,
        LicenseVersion.digest,
        LicenseVersion.record,
        LicenseVersion.signature,
        LicenseVersion.kid,
        SigningKey.public_key,
    )
    .join(LicenseVersion, LicenseVersion.license_id == License.id)
    .outerjoin(SigningKey, SigningKey.kid == LicenseVersion.kid)
)
MOST_PAPERS = 5
"""Papers of different offices that may carry one number."""


def _check_by(*conditions: ColumnElement[bool]) -> LimitedLookup[CheckRow]:
    statement = CHECK.where(*conditions).order_by(License.id).limit(MOST_PAPERS)
    return LimitedLookup(statement, CheckTries, row=CheckRow)


CHECK_BY_TOKEN = _check_by(
    License.id == bindparam("token_id"), LicenseVersion.version == bindparam("token_version")
)
CHECK_BY_IDENTIFIER = _check_by(LicenseVersion.identifier == bindparam("asked"))
CHECK_BY_NUMBER = _check_by(
    License.type_code == bindparam("asked_type"),
    License.number == bindparam("asked_number"),
    LicenseVersion.version == License.version,
)


async def lock_license(session: AsyncSession, license_id: UUID) -> License:
    """The license, locked until the transaction ends.

    Raises:
        NotFoundError: there is none; so with the reads below.
    """
    found = await session.get(License, license_id, with_for_update=True)
    if found is None:
        raise no_such_license()
    return found


async def get_license(session: AsyncSession, license_id: UUID) -> License:
    found = await session.get(License, license_id)
    if found is None:
        raise no_such_license()
    return found


async def get_version(session: AsyncSession, license: License) -> LicenseVersion:
    """The present version, which every license has."""
    return await session.get_one(LicenseVersion, (license.id, license.version))


async def read_license(session: AsyncSession, license_id: UUID) -> LicenseView:
    """One license as answers show it, in one statement."""
    row = await READ_ONE.first(session, license_id=license_id)
    if row is None:
        raise no_such_license()
    return row


async def has_license_of_case(session: AsyncSession, case_id: UUID) -> bool:
    """Whether a license was issued for the case."""
    found = await session.scalar(select(License.id).where(License.case_id == case_id))
    return found is not None


async def list_own(
    session: AsyncSession, account_id: UUID, *, after: UUID, limit: int
) -> Sequence[SummaryRow]:
    """Licenses of an account: one more than `limit`, if there are more."""
    return await LIST_OWN.fetch(session, account_id=account_id, after=after, limit=limit + 1)


@dataclass(frozen=True, slots=True)
class LicenseFilter:
    """Which of a department's licenses an officer asks for."""

    area_code: str
    department_code: str
    type_code: str | None = None
    status: Status | None = None
    number: str | None = None


async def list_issued(
    session: AsyncSession, which: LicenseFilter, *, after: UUID, limit: int
) -> Sequence[SummaryRow]:
    """Licenses of a department in the order they were made: one more than `limit`, if any."""
    statement = SUMMARY.where(
        License.area_code == which.area_code,
        License.department_code == which.department_code,
        License.id > after,
    )
    if which.type_code is not None:
        statement = statement.where(License.type_code == which.type_code)
    if which.status is not None:
        statement = statement.where(License.status == which.status)
    if which.number is not None:
        statement = statement.where(License.number == which.number)
    rows = await session.execute(statement.order_by(License.id).limit(limit + 1))
    return [SummaryRow(*row) for row in rows]


async def list_versions(session: AsyncSession, license_id: UUID) -> Sequence[VersionRow]:
    """The chain, oldest first, without the records."""
    return await VERSIONS.fetch(session, license_id=license_id)


async def list_steps(session: AsyncSession, license_id: UUID) -> Sequence[LicenseStep]:
    """What was done to the license, oldest first."""
    statement = (
        select(LicenseStep).where(LicenseStep.license_id == license_id).order_by(LicenseStep.id)
    )
    return (await session.scalars(statement)).all()


# Each of the three reads counts as an attempt of `attempt`, and raises TooManyRequestsError
# when the limit is used up.


async def check_by_token(
    session: AsyncSession, attempt: Guess, *, license_id: UUID, version: int
) -> Sequence[CheckRow]:
    """The version that a QR code names."""
    return await CHECK_BY_TOKEN.find(session, attempt, token_id=license_id, token_version=version)


async def check_by_identifier(
    session: AsyncSession, attempt: Guess, *, identifier: str
) -> Sequence[CheckRow]:
    """The version with this 证照标识."""
    return await CHECK_BY_IDENTIFIER.find(session, attempt, asked=identifier)


async def check_by_number(
    session: AsyncSession, attempt: Guess, *, type_code: str, number: str
) -> Sequence[CheckRow]:
    """The newest versions with this type and number."""
    return await CHECK_BY_NUMBER.find(session, attempt, asked_type=type_code, asked_number=number)
