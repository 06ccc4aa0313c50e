"""Every SELECT about the ledger and its pushes."""

from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.region.model.ledger import LedgerRow, Push
from shared.database.direct import UntypedDirect
from shared.domain.recon import WORD, Entry, Fingerprint

CLAIM = text(
    "SELECT key, version, op, day, record, last_seq, d1, d2 FROM ledger WHERE resource = :resource"
    " AND push_state = 'waiting' ORDER BY last_seq LIMIT :limit FOR UPDATE SKIP LOCKED"
)
IN_FLIGHT = text(
    "SELECT key, day, b1, b2, d1, d2 FROM ledger WHERE resource = :resource AND day BETWEEN :first AND :last"
    " AND push_state IN ('waiting', 'sent')"
)
FLYING = text(
    "SELECT count(*) FROM ledger WHERE resource = :resource AND key = ANY (CAST(:keys AS text[]))"
    " AND push_state IN ('waiting', 'sent')"
)
HIGH_WATER = text("SELECT last_value FROM ledger_seq")


def _sums(level: int) -> TextClause:
    """Sums of every child of the given parents, from the index alone. Signed and unsigned words are the same mod 2⁶⁴."""
    parts = ("day", "b1", "b2")[: level + 1]
    given = {
        0: "l.day BETWEEN :first AND :last",
        1: "l.day = ANY (CAST(:days AS date[]))",
        2: "(l.day, l.b1) IN (SELECT * FROM unnest(CAST(:days AS date[]), CAST(:b1 AS smallint[])))",
    }[level]
    columns = ", ".join(f"l.{part}" for part in parts)
    return text(
        f"SELECT {columns}, count(*) AS n, mod(mod(sum(l.d1), {WORD}) + {WORD}, {WORD}) AS s1,"
        f" mod(mod(sum(l.d2), {WORD}) + {WORD}, {WORD}) AS s2"
        f" FROM ledger l WHERE l.resource = :resource AND {given} GROUP BY {columns}"
    )


LISTS = text(
    "SELECT day, sha256(string_agg(sha256(kh || int8send(version) || convert_to(op, 'UTF8') || rd), '' ORDER BY kh)) AS digest"
    " FROM (SELECT day, version, op, rd,"
    "  sha256(convert_to(:stream, 'UTF8') || decode('00', 'hex') || convert_to(key, 'UTF8')) AS kh"
    "  FROM ledger WHERE resource = :resource AND day BETWEEN :first AND :last AND key <> ALL (CAST(:without AS text[]))) AS r"
    " GROUP BY day"
)
"""`shared.domain.recon.window_digest` of every window. Reads every row: for the weekly comparison."""
SUMS = tuple(_sums(level) for level in range(3))
LEAVES = tuple(
    text(
        "SELECT l.key, l.version, l.op, l.rd, l.loose, l.day, l.b1, l.b2, l.push_state, l.reject_code, l.last_seq,"
        " l.area_code, l.department_code"
        f" FROM unnest({given}) AS g ({names}) JOIN ledger l ON l.resource = :resource AND {match}"
    )
    for given, names, match in (
        (
            "CAST(:days AS date[]), CAST(:b1 AS smallint[])",
            "day, b1",
            "l.day = g.day AND l.b1 = g.b1",
        ),
        (
            "CAST(:days AS date[]), CAST(:b1 AS smallint[]), CAST(:b2 AS smallint[])",
            "day, b1, b2",
            "l.day = g.day AND l.b1 = g.b1 AND l.b2 = g.b2",
        ),
    )
)
"""Rows below (day, b1), and below (day, b1, b2)."""

LOCK = UntypedDirect(
    "SELECT key, version, day, area_code, department_code, record FROM ledger"
    " WHERE resource = :resource AND key = ANY(CAST(:keys AS text[])) ORDER BY key FOR UPDATE"
)

Place = tuple[Any, ...]
"""(day), (day, b1) or (day, b1, b2)."""


async def list_owed(session: AsyncSession, resource: str, keys: Sequence[str]) -> Sequence[Any]:
    """In one order everywhere, and locked: facts of one key may come through two workers when partitions move."""
    return await LOCK.fetch(session, resource=resource, keys=keys)


async def read_rows(
    session: AsyncSession, resource: str, keys: Sequence[str]
) -> dict[str, LedgerRow]:
    statement = select(LedgerRow).where(LedgerRow.resource == resource, LedgerRow.key.in_(keys))
    rows = await session.scalars(statement.execution_options(populate_existing=True))
    return {row.key: row for row in rows}


async def read_versions(
    session: AsyncSession, resource: str, keys: Sequence[str]
) -> dict[str, int]:
    statement = select(LedgerRow.key, LedgerRow.version).where(
        LedgerRow.resource == resource, LedgerRow.key.in_(keys)
    )
    return {row.key: row.version for row in await session.execute(statement)}


async def claim_waiting(session: AsyncSession, resource: str, limit: int) -> Sequence[Any]:
    return (await session.execute(CLAIM, {"resource": resource, "limit": limit})).all()


async def find_unacknowledged(session: AsyncSession, resource: str) -> Push | None:
    """The push that is out, or was when its process died."""
    statement = (
        select(Push)
        .where(Push.resource == resource, Push.state == "sent")
        .order_by(Push.number)
        .limit(1)
    )
    return await session.scalar(statement)


async def get_push(session: AsyncSession, push_id: UUID) -> Push:
    return await session.get_one(Push, push_id, with_for_update=True)


async def last_push(session: AsyncSession, resource: str) -> Push | None:
    return await session.scalar(
        select(Push).where(Push.resource == resource).order_by(Push.number.desc()).limit(1)
    )


async def list_acknowledged(session: AsyncSession, resource: str, limit: int) -> Sequence[Push]:
    """Pushes whose quality check has not been heard yet, oldest first."""
    statement = select(Push).where(Push.resource == resource, Push.state == "acknowledged")
    return (await session.scalars(statement.order_by(Push.number).limit(limit))).all()


async def high_water(session: AsyncSession) -> int:
    return (await session.execute(HIGH_WATER)).scalar_one()


async def list_in_flight(
    session: AsyncSession, resource: str, first: date, last: date
) -> dict[str, tuple[date, Entry]]:
    """The open keys: waiting to be sent, or sent and not settled yet."""
    rows = await session.execute(IN_FLIGHT, {"resource": resource, "first": first, "last": last})
    return {r.key: (r.day, Entry(r.b1, r.b2, r.d1 % WORD, r.d2 % WORD)) for r in rows}


async def count_flying(session: AsyncSession, resource: str, keys: Sequence[str]) -> int:
    return (await session.execute(FLYING, {"resource": resource, "keys": list(keys)})).scalar_one()


async def sums(
    session: AsyncSession, resource: str, level: int, **given: Any
) -> dict[Place, Fingerprint]:
    """Fingerprints of the children at `level` (0: `first`, `last`; 1: `days`; 2: `days`, `b1`)."""
    rows = await session.execute(SUMS[level], {"resource": resource, **given})
    return {tuple(row[: level + 1]): Fingerprint(row.n, int(row.s1), int(row.s2)) for row in rows}


async def window_digests(
    session: AsyncSession,
    resource: str,
    of_stream: str,
    first: date,
    last: date,
    without: Sequence[str],
) -> dict[date, bytes]:
    """Day → digest of the list of its rows, but those `without`."""
    _ = await session.execute(text("SET LOCAL statement_timeout = '15min'"))
    given = {
        "resource": resource,
        "stream": of_stream,
        "first": first,
        "last": last,
        "without": list(without),
    }
    return {row.day: row.digest for row in await session.execute(LISTS, given)}


async def leaves(session: AsyncSession, resource: str, places: Sequence[Place]) -> Sequence[Any]:
    """The rows below these places, all of one depth."""
    if not places:
        return []
    depth = len(places[0])
    given = dict(
        zip(
            ("days", "b1", "b2")[:depth],
            (list(column) for column in zip(*places, strict=True)),
            strict=True,
        )
    )
    return (await session.execute(LEAVES[depth - 2], {"resource": resource, **given})).all()
