"""SELECTs of licence types, and of what an issue rests on."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from cachetools import LRUCache
from sqlalchemy import DateTime, Uuid, bindparam, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from services.licenses.model.types import LicenseType, LicenseTypeVersion, TypeDocument
from shared.database.direct import UntypedDirect
from shared.errors import NotFoundError

GROUND = (
    text(
        "SELECT t.version, t.published_at, CASE WHEN t.published_at = :known THEN NULL ELSE t.document END AS document,"
        " (SELECT kid FROM signing_key WHERE state = 'current') AS kid,"
        " (SELECT account_id FROM account_link WHERE holder = :holder) AS owner,"
        " (SELECT count(*) FROM account_link WHERE account_id = :account) AS linked"
        " FROM (VALUES (1)) AS one (n) LEFT JOIN license_type t ON t.code = :code"
    )
    .bindparams(
        bindparam("account", type_=Uuid()), bindparam("known", type_=DateTime(timezone=True))
    )
    .columns(document=JSONB(none_as_null=True), owner=Uuid())
)
NEWEST = UntypedDirect(
    text(
        "SELECT code, version, document FROM license_type WHERE code = ANY (CAST(:codes AS text[]))"
    ).columns(document=JSONB())
)


@dataclass(frozen=True, slots=True)
class Type:
    """A version of a type."""

    code: str
    version: int
    document: TypeDocument
    name: dict[str, str]

    @classmethod
    def read(cls, code: str, version: int, document: Any) -> "Type":
        """From its row."""
        definition = TypeDocument.model_validate(document)
        return cls(code, version, definition, definition.name.model_dump(exclude_none=True))


_types: LRUCache[str, tuple[datetime, Type]] = LRUCache(2000)
"""The version that this process saw last, and when it was published: a guess that every statement checks."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What an issue rests on, read at one moment: the type, the key that signs, whose account it is."""

    type: Type | None
    kid: str | None
    owner: UUID | None
    """The account whose number identity has verified to be the holder's."""
    is_other: bool
    """Whether the account that applied is known to be somebody else."""


async def find_ground(
    session: AsyncSession, code: str, holder: str, account: UUID | None
) -> Ground:
    """In one statement, without the type's definition when this process knows it."""
    since, known = _types.get(code) or (None, None)
    values = {"code": code, "holder": holder, "account": account, "known": since}
    row = (await session.execute(GROUND, values)).one()
    if row.document is not None:
        known = Type.read(code, row.version, row.document)
        _types[code] = (row.published_at, known)
    found = known if row.version is not None else None
    return Ground(found, row.kid, row.owner, row.owner is None and row.linked > 0)


async def read_types(session: AsyncSession, codes: Collection[str]) -> dict[str, Type]:
    """The newest versions of these types."""
    rows = await NEWEST.fetch(session, codes=list(codes))
    return {row.code: Type.read(row.code, row.version, row.document) for row in rows}


async def get_type(session: AsyncSession, code: str, *, lock: bool = False) -> LicenseType:
    found = await session.get(LicenseType, code, with_for_update=lock)
    if found is None:
        raise NotFoundError("no such licence type")
    return found


async def get_type_version(session: AsyncSession, code: str, version: int) -> LicenseTypeVersion:
    found = await session.get(LicenseTypeVersion, (code, version))
    if found is None:
        raise NotFoundError("no such version of a licence type")
    return found


async def list_types(session: AsyncSession, after: str, limit: int) -> Sequence[LicenseType]:
    statement = (
        select(LicenseType)
        .where(LicenseType.code > after)
        .order_by(LicenseType.code)
        .limit(limit + 1)
    )
    return (await session.scalars(statement)).all()
