"""Every SELECT about imported cases."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Integer, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database.direct import Direct, command


class KnownRow(NamedTuple):
    """A case that came before.

    `record` is the stored JSON, to be compared with what comes now: to make models of thousands of
    records would cost more than all the rest.
    """

    source_number: str
    case_id: UUID
    version: int
    revision: int
    record: dict[str, object]


LOCK_SOURCE = command("SELECT pg_advisory_xact_lock(hashtextextended(CAST(:source AS text), 0))")
KNOWN = Direct(
    text(
        "SELECT source_number, case_id, version, revision, record FROM imported_case"
        " WHERE area_code = :area AND department_code = :department AND source_system = :system"
        " AND source_number = ANY (CAST(:numbers AS text[]))"
    ).columns(
        source_number=Text(), case_id=Uuid(), version=Integer(), revision=Integer(), record=JSONB()
    ),
    KnownRow,
)


async def lock_source(session: AsyncSession, area: str, *, department: str, system: str) -> None:
    """Let only one transaction at a time take in records of this system."""
    await LOCK_SOURCE.execute(session, source=f"{area}/{department}/{system}")


async def list_known(
    session: AsyncSession, area: str, *, department: str, system: str, numbers: Sequence[str]
) -> dict[str, KnownRow]:
    """The cases with these numbers in the bureau's system, by number."""
    rows = await KNOWN.fetch(
        session, area=area, department=department, system=system, numbers=numbers
    )
    return {row.source_number: row for row in rows}
