"""Budgets of guesses where nobody signs in: tries are counted per address and per number that is asked for.

They are counted in a transaction of their own, because a refusal must not undo the count. Addresses and numbers are kept as
keyed hashes. Each service has a table of its own (`TriesRow`), unlogged: nobody waits for the disk for a count, and one that
a crash of the database forgets lets some more guesses through.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import ClassVar

from sqlalchemy import DateTime, Integer, LargeBinary, TextClause, delete, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from shared.crypto import lookup_hash
from shared.errors import TooManyRequestsError


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


@cache
def _count(table: str) -> TextClause:
    # Always the address first: two requests that share both rows cannot wait for each other crosswise.
    return text(
        f"INSERT INTO {table} AS t (key, since, tries) VALUES (:address, :now, 1), (:number, :now, 1)"
        " ON CONFLICT (key) DO UPDATE SET"
        " tries = CASE WHEN t.since <= :expired THEN 1 ELSE t.tries + 1 END,"
        " since = CASE WHEN t.since <= :expired THEN excluded.since ELSE t.since END"
        " RETURNING key, since, tries"
    )


async def count_try(
    session: AsyncSession, rows: type[TriesRow], purpose: str, address: str, number: str, budget: Budget, now: datetime
) -> datetime | None:
    """Count one try for this address and this number; until when the caller must wait when a budget is used up."""
    keys = {"address": lookup_hash(address, f"{purpose}/address"), "number": lookup_hash(number, f"{purpose}/number")}
    found = await session.execute(_count(rows.__tablename__), {**keys, "now": now, "expired": now - budget.window})
    allowed = {keys["address"]: budget.per_address, keys["number"]: budget.per_number}
    return max((row.since + budget.window for row in found if row.tries > allowed[bytes(row.key)]), default=None)


def check_budget(wait_until: datetime | None, now: datetime) -> None:
    """429 with the seconds to wait when the budget is used up."""
    if wait_until is not None:
        seconds = max(1, round((wait_until - now).total_seconds()))
        raise TooManyRequestsError("too many tries; come back later", headers={"Retry-After": str(seconds)})


async def forget_tries(session: AsyncSession, rows: type[TriesRow], before: datetime) -> None:
    """Tries of windows long past."""
    _ = await session.execute(delete(rows).where(rows.since < before))
