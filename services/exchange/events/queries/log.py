"""Every SELECT on the event log.

What a scope covers is found by index, one probe per type and area, however many other events lie
between.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, TypedDict

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.events.model.log import LogHead
from services.exchange.events.model.policy import Scope
from shared.database.direct import Direct

IN_DEPARTMENTS_AND_MATTERS = (
    " AND (cardinality(CAST(:departments AS text[])) = 0"
    "  OR l.department_code = ANY (CAST(:departments AS text[])))"
    " AND (cardinality(CAST(:matters AS text[])) = 0"
    "  OR l.matter_code = ANY (CAST(:matters AS text[])))"
)
"""Condition on `logged_event l`: an empty list takes all."""
IN_SCOPE = (
    " AND l.type = ANY (CAST(:types AS text[])) AND l.area_code = ANY (CAST(:areas AS text[]))"
    + IN_DEPARTMENTS_AND_MATTERS
)
"""Condition on `logged_event l`: a scope covers it."""
MATCHING = (
    "SELECT m.sequence FROM unnest(CAST(:types AS text[])) AS t (type)"
    " CROSS JOIN unnest(CAST(:areas AS text[])) AS a (area)"
    " CROSS JOIN LATERAL (SELECT l.sequence FROM logged_event l"
    "  WHERE l.type = t.type AND l.area_code = a.area"
    "  AND l.sequence > :after AND l.sequence <= :upto"
    + IN_DEPARTMENTS_AND_MATTERS
    + "  ORDER BY l.sequence LIMIT :limit) m ORDER BY m.sequence LIMIT :limit"
)
"""Sequences of the events of a scope, in order."""


class Range(TypedDict):
    """The parameters of `MATCHING`: a scope, and the part of the log to look through."""

    types: list[str]
    areas: list[str]
    departments: list[str]
    matters: list[str]
    after: int
    upto: int
    limit: int


class EventRow(NamedTuple):
    sequence: int
    type: str
    payload: bytes


class PayloadRow(NamedTuple):
    sequence: int
    area_code: str
    department_code: str
    matter_code: str | None
    payload: bytes


class LastMatchRow(NamedTuple):
    """`last` is None when nothing matches."""

    last: int | None
    number: int


class OldestRow(NamedTuple):
    upto: int | None


EVENTS = Direct(
    f"SELECT l.sequence, l.type, l.payload FROM ({MATCHING}) m"
    " JOIN logged_event l USING (sequence) ORDER BY l.sequence",
    EventRow,
)
PAYLOADS = Direct(
    "SELECT sequence, area_code, department_code, matter_code, payload FROM logged_event"
    " WHERE sequence = ANY (CAST(:sequences AS bigint[]))",
    PayloadRow,
)
LAST_MATCH = Direct(
    f"SELECT max(sequence) AS last, count(*) AS number FROM ({MATCHING}) m", LastMatchRow
)
OLDEST = Direct(
    "SELECT max(sequence) AS upto FROM"
    " (SELECT sequence, logged_at FROM logged_event ORDER BY sequence LIMIT :limit) oldest"
    " WHERE logged_at < :before",
    OldestRow,
)


def range_of(scope: Scope, *, after: int, upto: int, limit: int) -> Range:
    """The events of the scope with `after < sequence <= upto`, at most `limit`."""
    return Range(
        types=list(scope.types),
        areas=list(scope.areas),
        departments=list(scope.departments),
        matters=list(scope.matters),
        after=after,
        upto=upto,
        limit=limit,
    )


async def get_head(session: AsyncSession) -> LogHead:
    return (await session.scalars(select(LogHead))).one()


async def list_events(session: AsyncSession, wanted: Range) -> Sequence[EventRow]:
    """The next events of a scope, in order."""
    return await EVENTS.fetch(session, **wanted)


async def find_last_match(session: AsyncSession, wanted: Range) -> LastMatchRow:
    """The last of the next events of a scope, and their number."""
    row = await LAST_MATCH.first(session, **wanted)
    assert row is not None, "an aggregate has a row"
    return row


async def list_payloads(session: AsyncSession, sequences: Sequence[int]) -> dict[int, PayloadRow]:
    """The events with these sequences; those that are no longer kept are missing."""
    rows = await PAYLOADS.fetch(session, sequences=list(sequences))
    return {row.sequence: row for row in rows}


async def find_oldest_before(session: AsyncSession, before: datetime, *, limit: int) -> int | None:
    """The highest sequence logged before `before` among the `limit` oldest events."""
    row = await OLDEST.first(session, before=before, limit=limit)
    assert row is not None, "an aggregate has a row"
    return row.upto
