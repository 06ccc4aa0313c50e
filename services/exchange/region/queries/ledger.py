"""Every SELECT about the ledger and its pushes."""

from collections.abc import Collection, Sequence
from datetime import date
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.region.model.ledger import LedgerResource, LedgerRow, Push, PushState
from shared.database.direct import Direct, command
from shared.domain.recon import WORD, Entry, Fingerprint, stream

Place = tuple[date, *tuple[int, ...]]
"""Where rows are: (day), (day, b1) or (day, b1, b2)."""
Sums = dict[Place, Fingerprint]


class VersionRow(NamedTuple):
    key: str
    version: int


class WaitingRow(NamedTuple):
    key: str
    version: int
    op: str
    record: str
    d1: int
    d2: int


class OpenRow(NamedTuple):
    key: str
    day: date
    b1: int
    b2: int
    d1: int
    d2: int


class NumberRow(NamedTuple):
    number: int


class DaySum(NamedTuple):
    """The sums are `numeric` in PostgreSQL, which are decimals here."""

    day: date
    n: int
    s1: int
    s2: int


class FirstByteSum(NamedTuple):
    day: date
    b1: int
    n: int
    s1: int
    s2: int


class SecondByteSum(NamedTuple):
    day: date
    b1: int
    b2: int
    n: int
    s1: int
    s2: int


class ListRow(NamedTuple):
    day: date
    digest: bytes


class LeafRow(NamedTuple):
    key: str
    version: int
    op: str
    rd: bytes
    loose: bytes
    day: date
    push_state: str
    reject_code: str | None
    area_code: str
    department_code: str


class OwedRow(NamedTuple):
    key: str
    version: int
    day: date
    area_code: str
    department_code: str
    record: str


VERSIONS = Direct(
    "SELECT key, version FROM ledger"
    " WHERE resource = :resource AND key = ANY (CAST(:keys AS text[]))",
    VersionRow,
)
CLAIM = Direct(
    "SELECT key, version, op, record, d1, d2 FROM ledger"
    " WHERE resource = :resource AND push_state = 'waiting'"
    " ORDER BY last_seq LIMIT :limit FOR UPDATE SKIP LOCKED",
    WaitingRow,
)
IN_FLIGHT = Direct(
    "SELECT key, day, b1, b2, d1, d2 FROM ledger"
    " WHERE resource = :resource AND day BETWEEN :first AND :last"
    " AND push_state IN ('waiting', 'sent')",
    OpenRow,
)
COUNT_IN_FLIGHT = Direct(
    "SELECT count(*) AS number FROM ledger"
    " WHERE resource = :resource AND key = ANY (CAST(:keys AS text[]))"
    " AND push_state IN ('waiting', 'sent')",
    NumberRow,
)
HIGH_WATER = Direct("SELECT last_value AS number FROM ledger_seq", NumberRow)


def _sums(columns: str, *, condition: str) -> str:
    """Sums of all rows with equal `columns`, from the index alone.

    Signed and unsigned words are the same mod 2⁶⁴.
    """
    return (
        f"SELECT {columns}, count(*) AS n,"
        f" mod(mod(sum(l.d1), {WORD}) + {WORD}, {WORD}) AS s1,"
        f" mod(mod(sum(l.d2), {WORD}) + {WORD}, {WORD}) AS s2"
        f" FROM ledger l WHERE l.resource = :resource AND {condition} GROUP BY {columns}"
    )


SUMS_OF_DAYS = Direct(_sums("l.day", condition="l.day BETWEEN :first AND :last"), DaySum)
SUMS_BELOW_DAYS = Direct(
    _sums("l.day, l.b1", condition="l.day = ANY (CAST(:days AS date[]))"), FirstByteSum
)
SUMS_BELOW_FIRST_BYTES = Direct(
    _sums(
        "l.day, l.b1, l.b2",
        condition=(
            "(l.day, l.b1) IN"
            " (SELECT * FROM unnest(CAST(:days AS date[]), CAST(:b1 AS smallint[])))"
        ),
    ),
    SecondByteSum,
)
# `shared.domain.recon.window_digest` of every window. It reads every row: for the weekly
# comparison.
LISTS = Direct(
    "SELECT day, sha256(string_agg("
    "  sha256(kh || int8send(version) || convert_to(op, 'UTF8') || rd), '' ORDER BY kh)) AS digest"
    " FROM (SELECT day, version, op, rd, sha256("
    "   convert_to(:stream, 'UTF8') || decode('00', 'hex') || convert_to(key, 'UTF8')) AS kh"
    "  FROM ledger WHERE resource = :resource AND day BETWEEN :first AND :last"
    "  AND key <> ALL (CAST(:without AS text[]))) AS r"
    " GROUP BY day",
    ListRow,
)
LISTS_TAKE_LONG = command("SET LOCAL statement_timeout = '15min'")

_LEAF_COLUMNS = (
    "SELECT l.key, l.version, l.op, l.rd, l.loose, l.day, l.push_state, l.reject_code,"
    " l.area_code, l.department_code"
)
LEAVES_BELOW_FIRST_BYTES = Direct(
    _LEAF_COLUMNS + " FROM unnest(CAST(:days AS date[]), CAST(:b1 AS smallint[])) AS g (day, b1)"
    " JOIN ledger l ON l.resource = :resource AND l.day = g.day AND l.b1 = g.b1",
    LeafRow,
)
LEAVES_BELOW_SECOND_BYTES = Direct(
    _LEAF_COLUMNS
    + " FROM unnest(CAST(:days AS date[]), CAST(:b1 AS smallint[]), CAST(:b2 AS smallint[]))"
    "  AS g (day, b1, b2)"
    " JOIN ledger l ON l.resource = :resource"
    "  AND l.day = g.day AND l.b1 = g.b1 AND l.b2 = g.b2",
    LeafRow,
)
LOCK_OWED = Direct(
    "SELECT key, version, day, area_code, department_code, record FROM ledger"
    " WHERE resource = :resource AND key = ANY(CAST(:keys AS text[])) ORDER BY key FOR UPDATE",
    OwedRow,
)


async def lock_owed(
    session: AsyncSession, resource: LedgerResource, *, keys: Collection[str]
) -> Sequence[OwedRow]:
    """The rows with these keys, locked in one order everywhere.

    Facts of one key may come through two workers while partitions move between them.
    """
    return await LOCK_OWED.fetch(session, resource=resource, keys=list(keys))


async def read_rows(
    session: AsyncSession, resource: LedgerResource, *, keys: Sequence[str]
) -> dict[str, LedgerRow]:
    """The rows as they are now, by key."""
    statement = select(LedgerRow).where(LedgerRow.resource == resource, LedgerRow.key.in_(keys))
    rows = await session.scalars(statement.execution_options(populate_existing=True))
    return {row.key: row for row in rows}


async def read_versions(
    session: AsyncSession, resource: LedgerResource, *, keys: Sequence[str]
) -> dict[str, int]:
    rows = await VERSIONS.fetch(session, resource=resource, keys=list(keys))
    return {row.key: row.version for row in rows}


async def claim_waiting(
    session: AsyncSession, resource: LedgerResource, *, limit: int
) -> Sequence[WaitingRow]:
    """The next rows to push, locked; those that another worker has are passed over."""
    return await CLAIM.fetch(session, resource=resource, limit=limit)


async def find_unacknowledged(session: AsyncSession, resource: LedgerResource) -> Push | None:
    """The push that is out, or was when its process died."""
    statement = (
        select(Push)
        .where(Push.resource == resource, Push.state == PushState.SENT)
        .order_by(Push.number)
        .limit(1)
    )
    return await session.scalar(statement)


async def get_push(session: AsyncSession, push_id: UUID) -> Push:
    """Locked; the caller knows that it is there."""
    return await session.get_one(Push, push_id, with_for_update=True)


async def find_last_push(session: AsyncSession, resource: LedgerResource) -> Push | None:
    statement = select(Push).where(Push.resource == resource).order_by(Push.number.desc()).limit(1)
    return await session.scalar(statement)


async def list_acknowledged(
    session: AsyncSession, resource: LedgerResource, *, limit: int
) -> Sequence[Push]:
    """Pushes of whose quality check nothing is known yet, oldest first."""
    statement = (
        select(Push)
        .where(Push.resource == resource, Push.state == PushState.ACKNOWLEDGED)
        .order_by(Push.number)
        .limit(limit)
    )
    return (await session.scalars(statement)).all()


async def high_water(session: AsyncSession) -> int:
    """The highest `last_seq` that was given out."""
    row = await HIGH_WATER.first(session)
    assert row is not None, "a sequence has a row"
    return row.number


def entry_of(row: OpenRow | LedgerRow) -> Entry:
    """The weight of a row; PostgreSQL has the words signed."""
    return Entry(row.b1, row.b2, row.d1 % WORD, row.d2 % WORD)


async def list_in_flight(
    session: AsyncSession, resource: LedgerResource, *, first: date, last: date
) -> dict[str, tuple[date, Entry]]:
    """The open keys: waiting to be sent, or sent and not settled yet."""
    rows = await IN_FLIGHT.fetch(session, resource=resource, first=first, last=last)
    return {row.key: (row.day, entry_of(row)) for row in rows}


async def count_in_flight(
    session: AsyncSession, resource: LedgerResource, *, keys: Sequence[str]
) -> int:
    row = await COUNT_IN_FLIGHT.first(session, resource=resource, keys=list(keys))
    assert row is not None, "a count has a row"
    return row.number


async def sums_of_days(
    session: AsyncSession, resource: LedgerResource, *, first: date, last: date
) -> Sums:
    """Fingerprint of each day that has rows."""
    rows = await SUMS_OF_DAYS.fetch(session, resource=resource, first=first, last=last)
    return {(row.day,): Fingerprint(row.n, int(row.s1), int(row.s2)) for row in rows}


async def sums_below_days(
    session: AsyncSession, resource: LedgerResource, *, days: Sequence[date]
) -> Sums:
    """Fingerprint of each (day, b1) of these days."""
    rows = await SUMS_BELOW_DAYS.fetch(session, resource=resource, days=list(days))
    return {(row.day, row.b1): Fingerprint(row.n, int(row.s1), int(row.s2)) for row in rows}


async def sums_below_first_bytes(
    session: AsyncSession, resource: LedgerResource, *, places: Sequence[Place]
) -> Sums:
    """Fingerprint of each (day, b1, b2) below these (day, b1)."""
    rows = await SUMS_BELOW_FIRST_BYTES.fetch(
        session,
        resource=resource,
        days=[place[0] for place in places],
        b1=[place[1] for place in places],
    )
    sums: Sums = {}
    for row in rows:
        sums[row.day, row.b1, row.b2] = Fingerprint(row.n, int(row.s1), int(row.s2))
    return sums


async def window_digests(
    session: AsyncSession,
    resource: LedgerResource,
    *,
    first: date,
    last: date,
    without: Sequence[str],
) -> dict[date, bytes]:
    """Day → digest of the list of its rows, except those `without`."""
    await LISTS_TAKE_LONG.execute(session)
    rows = await LISTS.fetch(
        session,
        resource=resource,
        stream=stream(resource),
        first=first,
        last=last,
        without=list(without),
    )
    return {row.day: row.digest for row in rows}


async def leaves(
    session: AsyncSession, resource: LedgerResource, *, places: Sequence[Place]
) -> Sequence[LeafRow]:
    """The rows below these places, which are all (day, b1) or all (day, b1, b2)."""
    if not places:
        return ()
    days = [place[0] for place in places]
    b1 = [place[1] for place in places]
    if len(places[0]) == 2:
        return await LEAVES_BELOW_FIRST_BYTES.fetch(session, resource=resource, days=days, b1=b1)
    b2 = [place[2] for place in places]
    return await LEAVES_BELOW_SECOND_BYTES.fetch(
        session, resource=resource, days=days, b1=b1, b2=b2
    )
