"""SELECTs of what is known about collected licenses, for a whole chunk at once."""

from collections.abc import Collection, Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import column, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.licenses.model.states import Origin, Status
from shared.database.columns import EnumText
from shared.database.direct import Direct


class KnownLicense(NamedTuple):
    """A license that is there under the number of a collected record."""

    id: UUID
    revision: int
    version: int
    identifier: str
    holder: str
    status: Status
    origin: Origin
    source_digest: str | None


class Known(NamedTuple):
    """What is there: the license with the number, and the license that has the identifier."""

    license: KnownLicense | None
    identifier_of: UUID | None


class KnownRow(NamedTuple):
    position: int
    identifier_of: UUID | None
    id: UUID | None
    # The columns of the license are None exactly where `id` is.
    revision: int
    version: int
    identifier: str
    holder: str
    status: Status
    origin: Origin
    source_digest: str | None


# LATERAL … LIMIT 1 goes row by row through the unique indexes; a generic plan of a plain join
# would read the whole department.
KNOWN = Direct(
    text(
        """WITH given AS (
    SELECT * FROM unnest(
        CAST(:types AS text[]), CAST(:numbers AS text[]), CAST(:identifiers AS text[])
    ) WITH ORDINALITY AS g (type_code, number, identifier, position)
),
found AS (
    SELECT g.position, l.id, v.license_id AS identifier_of
    FROM given g
    LEFT JOIN LATERAL (
        SELECT id FROM license WHERE area_code = :area AND department_code = :department
        AND type_code = g.type_code AND number = g.number LIMIT 1
    ) l ON true
    LEFT JOIN LATERAL (
        SELECT license_id FROM license_version WHERE identifier = g.identifier LIMIT 1
    ) v ON true
    WHERE l.id IS NOT NULL OR v.license_id IS NOT NULL
),
mine AS (
    SELECT l.* FROM license l WHERE l.id = ANY (ARRAY(SELECT id FROM found))
    ORDER BY l.id FOR UPDATE
)
SELECT f.position, f.identifier_of, m.id, m.revision, m.version, m.identifier, m.holder,
    m.status, m.origin, m.source_digest
FROM found f LEFT JOIN mine m ON m.id = f.id"""
    ).columns(column("status", EnumText(Status)), column("origin", EnumText(Origin))),
    KnownRow,
)


class LinkRow(NamedTuple):
    holder: str
    account_id: UUID


LINKS = Direct(
    "SELECT holder, account_id FROM account_link WHERE holder = ANY (CAST(:holders AS text[]))",
    LinkRow,
)


async def lock_known(
    session: AsyncSession,
    *,
    area: str,
    department: str,
    types: Sequence[str],
    numbers: Sequence[str],
    identifiers: Sequence[str],
) -> dict[int, Known]:
    """What is known, by the position (from 0) in the three lists. Licenses are locked by id."""
    rows = await KNOWN.fetch(
        session,
        area=area,
        department=department,
        types=types,
        numbers=numbers,
        identifiers=identifiers,
    )
    known: dict[int, Known] = {}
    for row in rows:
        known_license: KnownLicense | None = None
        if row.id is not None:
            known_license = KnownLicense(
                row.id,
                row.revision,
                row.version,
                row.identifier,
                row.holder,
                row.status,
                row.origin,
                row.source_digest,
            )
        known[row.position - 1] = Known(known_license, row.identifier_of)
    return known


async def find_accounts(session: AsyncSession, holders: Collection[str]) -> dict[str, UUID]:
    """Pseudonym → account, of the holders whom identity has verified."""
    accounts: dict[str, UUID] = {}
    for row in await LINKS.fetch(session, holders=list(holders)):
        accounts[row.holder] = row.account_id
    return accounts
