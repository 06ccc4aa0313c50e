"""SELECTs of license types, and of what issuing a license needs."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from cachetools import LRUCache
from sqlalchemy import DateTime, Uuid, bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.licenses.model.types import LicenseType, LicenseTypeVersion, TypeDocument
from shared.database.columns import Json
from shared.database.direct import Direct
from shared.errors import NotFoundError


class InputsRow(NamedTuple):
    """`version` and `published_at` are None where there is no such type."""

    version: int | None
    published_at: datetime | None
    document: TypeDocument | None
    kid: str | None
    owner: UUID | None
    linked: int


INPUTS = Direct(
    text(
        """SELECT t.version, t.published_at,
CASE WHEN t.published_at = :known_since THEN NULL ELSE t.document END AS document,
(SELECT kid FROM signing_key WHERE state = 'current') AS kid,
(SELECT account_id FROM account_link WHERE holder = :holder) AS owner,
(SELECT count(*) FROM account_link WHERE account_id = :account) AS linked
FROM (VALUES (1)) AS one (n) LEFT JOIN license_type t ON t.code = :code"""
    )
    .bindparams(
        bindparam("account", type_=Uuid()),
        bindparam("known_since", type_=DateTime(timezone=True)),
    )
    .columns(document=Json[TypeDocument](TypeDocument), owner=Uuid()),
    InputsRow,
)


class NewestRow(NamedTuple):
    code: str
    version: int
    document: TypeDocument


NEWEST = Direct(
    text(
        "SELECT code, version, document FROM license_type WHERE code = ANY (CAST(:codes AS text[]))"
    ).columns(document=Json[TypeDocument](TypeDocument)),
    NewestRow,
)


@dataclass(frozen=True, slots=True)
class Type:
    """A version of a license type; `name` by language, as licenses keep it."""

    code: str
    version: int
    document: TypeDocument
    name: dict[str, str]

    @classmethod
    def of(cls, code: str, version: int, *, document: TypeDocument) -> "Type":
        return cls(code, version, document, document.name.model_dump(exclude_none=True))


@dataclass(frozen=True, slots=True)
class KnownType:
    """A version that this process has read, and when that version was published."""

    published_at: datetime
    type: Type


_types: LRUCache[str, KnownType] = LRUCache(2000)
"""Every statement compares `published_at`, so an outdated entry is found at once."""


@dataclass(frozen=True, slots=True)
class IssueInputs:
    """What issuing a license needs, read at one moment.

    `kid` is the key that signs. `owner` is the account whose number identity has verified to be
    the holder's. `is_other` tells that the account that applied is known to be somebody else.
    """

    type: Type | None
    kid: str | None
    owner: UUID | None
    is_other: bool


async def find_issue_inputs(
    session: AsyncSession, code: str, *, holder: str, account: UUID | None = None
) -> IssueInputs:
    """One statement; it reads the type's definition only where this process does not know it."""
    known = _types.get(code)
    known_since: datetime | None = None
    if known is not None:
        known_since = known.published_at
    row = await INPUTS.first(
        session, code=code, holder=holder, account=account, known_since=known_since
    )
    assert row is not None
    found: Type | None = None
    if row.version is not None and row.published_at is not None:
        if row.document is not None:
            newest = Type.of(code, row.version, document=row.document)
            known = _types[code] = KnownType(row.published_at, newest)
        assert known is not None
        found = known.type
    is_other = row.owner is None and row.linked > 0
    return IssueInputs(found, row.kid, row.owner, is_other)


async def read_types(session: AsyncSession, codes: Collection[str]) -> dict[str, Type]:
    """The newest versions of these types."""
    types: dict[str, Type] = {}
    for row in await NEWEST.fetch(session, codes=list(codes)):
        types[row.code] = Type.of(row.code, row.version, document=row.document)
    return types


async def get_type(session: AsyncSession, code: str) -> LicenseType:
    """The newest version.

    Raises:
        NotFoundError: there is no such type.
    """
    found = await session.get(LicenseType, code)
    if found is None:
        raise NotFoundError("no such licence type")
    return found


async def get_type_version(session: AsyncSession, code: str, *, version: int) -> LicenseTypeVersion:
    """A type as it was in a version.

    Raises:
        NotFoundError: there is no such type or version.
    """
    found = await session.get(LicenseTypeVersion, (code, version))
    if found is None:
        raise NotFoundError("no such version of a licence type")
    return found


async def list_types(session: AsyncSession, *, after: str, limit: int) -> Sequence[LicenseType]:
    """Types in their newest versions, ordered by code: one more than `limit`, if there are more."""
    statement = (
        select(LicenseType)
        .where(LicenseType.code > after)
        .order_by(LicenseType.code)
        .limit(limit + 1)
    )
    return (await session.scalars(statement)).all()
