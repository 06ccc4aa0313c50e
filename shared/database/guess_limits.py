"""Budgets of guesses where nobody signs in: tries are counted per address and per number that is asked for.

A try is counted by the statement that looks for the answer (`counting`), which commits by itself, so that no refusal can
undo the count. Addresses and numbers are kept as keyed hashes. Each service has a table of its own (`TriesRow`), unlogged:
nobody waits for the disk for a count, and one that a crash of the database forgets lets some more guesses through.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from sqlalchemy import DateTime, Integer, LargeBinary, Select, column, delete, select, text, true
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.direct import UntypedDirect
from shared.errors import TooManyRequestsError
from shared.security.crypto import lookup_hash


class TriesRow:
    """Columns of a table of tries from one address, or for one number, since the window began. `key`: keyed hash of either."""

    __tablename__: str
    __table_args__: ClassVar = {"prefixes": ["UNLOGGED"]}

    key: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    since: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)
    tries: Mapped[int] = mapped_column(Integer)


@dataclass(frozen=True, slots=True)
class Budget:
    """Tries in a window, per address and per number."""

    window: timedelta
    per_address: int
    per_number: int


@dataclass(frozen=True, slots=True)
class Try:
    """One try: what is asked for, from where, under which budget."""

    number: str
    address: str
    budget: Budget
    now: datetime


def counting(found: Select[*tuple[Any, ...]], rows: type[TriesRow]) -> UntypedDirect:
    """The statement `found` that also counts a try in `rows`: for `ask`."""
    # Always the address first: two requests that share both rows cannot wait for each other crosswise.
    tried = (
        text(
            f"INSERT INTO {rows.__tablename__} AS t (key, since, tries)"
            " VALUES (:try_address, :try_now, 1), (:try_number, :try_now, 1)"
            " ON CONFLICT (key) DO UPDATE SET"
            " tries = CASE WHEN t.since <= :try_expired THEN 1 ELSE t.tries + 1 END,"
            " since = CASE WHEN t.since <= :try_expired THEN excluded.since ELSE t.since END"
            " RETURNING since, tries > CASE key WHEN :try_address THEN CAST(:per_address AS int)"
            "  ELSE CAST(:per_number AS int) END AS spent"
        )
        .columns(column("since", DateTime(timezone=True)), column("spent"))
        .cte("tried")
    )
    spent = (
        select(text("max(since) FILTER (WHERE spent) AS spent_since"))
        .select_from(tried)
        .subquery("spent")
    )
    there = found.add_columns(true().label("is_found")).subquery("found")
    since = column("spent_since", DateTime(timezone=True))
    return UntypedDirect(select(since, *there.c).select_from(spent.outerjoin(there, true())))


async def ask(
    session: AsyncSession, statement: UntypedDirect, one: Try, **parameters: Any
) -> Sequence[Any]:
    """The rows found by a statement of `counting`; 429 with the seconds to wait when the budget is used up.

    For sessions that commit each statement (`Database.reading`).
    """
    counted = {
        "try_address": lookup_hash(one.address, "tries/address"),
        "try_number": lookup_hash(one.number, "tries/number"),
        "try_now": one.now,
        "try_expired": one.now - one.budget.window,
        "per_address": one.budget.per_address,
        "per_number": one.budget.per_number,
    }
    rows = await statement.fetch(session, **parameters, **counted)
    if (since := rows[0].spent_since) is not None:
        seconds = max(1, round((since + one.budget.window - one.now).total_seconds()))
        raise TooManyRequestsError(
            "too many tries; come back later", headers={"Retry-After": str(seconds)}
        )
    return [row for row in rows if row.is_found]


async def forget_tries(session: AsyncSession, rows: type[TriesRow], before: datetime) -> None:
    """Tries of windows long past."""
    _ = await session.execute(delete(rows).where(rows.since < before))
