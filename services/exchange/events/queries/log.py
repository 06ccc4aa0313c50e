"""Every SELECT on the event log. What a scope covers is found by index, one probe per type and area, however long the gap."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, LargeBinary, Text, bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.events.model.log import LoggedEvent, LogHead
from services.exchange.events.model.policy import Scope

MATCHING = (
    "SELECT m.sequence FROM unnest(CAST(:types AS text[])) AS t (type)"
    " CROSS JOIN unnest(CAST(:areas AS text[])) AS a (area)"
    " CROSS JOIN LATERAL (SELECT l.sequence FROM logged_event l WHERE l.type = t.type AND l.area_code = a.area"
    "  AND l.sequence > :after AND l.sequence <= :upto"
    "  AND (cardinality(CAST(:departments AS text[])) = 0 OR l.department_code = ANY (CAST(:departments AS text[])))"
    "  AND (cardinality(CAST(:matters AS text[])) = 0 OR l.matter_code = ANY (CAST(:matters AS text[])))"
    "  ORDER BY l.sequence LIMIT :limit) m ORDER BY m.sequence LIMIT :limit"
)
"""Sequences of the events of a scope, in order."""
EVENTS = text(
    f"SELECT l.sequence, l.type, l.payload FROM ({MATCHING}) m JOIN logged_event l USING (sequence) ORDER BY l.sequence"
).columns(sequence=BigInteger(), type=Text(), payload=LargeBinary())
PAYLOADS = (
    text(
        "SELECT sequence, area_code, department_code, matter_code, payload FROM logged_event"
        " WHERE sequence = ANY (:sequences)"
    )
    .bindparams(bindparam("sequences", type_=ARRAY(BigInteger())))
    .columns(payload=LargeBinary())
)


def scope_values(scope: Scope, after: int, upto: int, limit: int) -> dict[str, Any]:
    """The parameters of `MATCHING`."""
    return {
        "types": list(scope.types),
        "areas": list(scope.areas),
        "departments": list(scope.departments),
        "matters": list(scope.matters),
        "after": after,
        "upto": upto,
        "limit": limit,
    }


async def get_head(session: AsyncSession) -> LogHead:
    return (await session.scalars(select(LogHead))).one()


async def list_events(
    session: AsyncSession, scope: Scope, after: int, upto: int, limit: int
) -> Sequence[Any]:
    """Sequence, type and bytes of the next events of a scope."""
    return (await session.execute(EVENTS, scope_values(scope, after, upto, limit))).all()


async def list_payloads(session: AsyncSession, sequences: Sequence[int]) -> dict[int, Any]:
    rows = await session.execute(PAYLOADS, {"sequences": list(sequences)})
    return {row.sequence: row for row in rows}


async def list_places(session: AsyncSession, ids: Sequence[UUID]) -> Sequence[int]:
    """Where in the log these events are."""
    return (
        await session.scalars(select(LoggedEvent.sequence).where(LoggedEvent.event_id.in_(ids)))
    ).all()
