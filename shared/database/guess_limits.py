"""Guess limits for anonymous look-ups, per client address and requested number.

A guess is counted by the statement that looks for the answer, which commits by itself, so that no
refusal can undo the count. Addresses and numbers are kept as keyed hashes. Each service has a table
of its own (`GuessCountRow`). It is unlogged: no request waits for the disk, and a count that a
crash of the database loses lets some more guesses through.
"""

from collections import namedtuple
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar, cast

from sqlalchemy import DateTime, Integer, LargeBinary, Select, column, delete, select, text, true
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.direct import Direct
from shared.errors import TooManyRequestsError
from shared.security.crypto import lookup_hash

R = TypeVar("R", bound=tuple[Any, ...])


class GuessCountRow:
    """Columns of a table of guesses from one address, or for one number, in the running window.

    `key` is the keyed hash of either; `since` is when the window began.
    """

    __tablename__: str
    __table_args__: ClassVar = {"prefixes": ["UNLOGGED"]}

    key: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    since: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)
    tries: Mapped[int] = mapped_column(Integer)


@dataclass(frozen=True, slots=True)
class GuessLimit:
    """Guesses that are allowed in a window, per address and per number."""

    window: timedelta
    per_address: int
    per_number: int


@dataclass(frozen=True, slots=True)
class Guess:
    """One guess: the number asked for, the address it comes from, and the limit for both."""

    number: str
    address: str
    budget: GuessLimit
    now: datetime


class LimitedLookup(Generic[R]):
    """A statement that looks for rows and counts a guess in the same round trip.

    Args:
        found: the look-up; its columns are the fields of `row`.
        counts: the table of guesses.
        row: a `NamedTuple`.
    """

    def __init__(
        self, found: Select[*tuple[Any, ...]], counts: type[GuessCountRow], *, row: type[R]
    ) -> None:
        self._make = cast(
            "Callable[[Sequence[object]], R]", partial(cast("Any", tuple).__new__, row)
        )
        # The fields are known only here, so neither their types nor the row's own are checked.
        fields = cast("tuple[str, ...]", cast("Any", row)._fields)
        counted: Any = cast("Any", namedtuple)("CountedRow", ("spent_since", *fields, "is_found"))
        self._statement: Direct[tuple[Any, ...]] = Direct(_counted(found, counts), counted)

    async def find(self, session: AsyncSession, guess: Guess, **parameters: Any) -> Sequence[R]:
        """The rows found, for sessions that commit each statement (`Database.reading`).

        Raises:
            TooManyRequestsError: the limit is reached; `Retry-After` has the seconds to wait.
        """
        rows = await self._statement.fetch(session, **parameters, **_parameters(guess))
        _check_spent(rows[0][0], guess)
        found: list[R] = []
        for _, *values, is_found in rows:
            if is_found:
                found.append(self._make(values))
        return found


def _counted(
    found: Select[*tuple[Any, ...]], counts: type[GuessCountRow]
) -> Select[*tuple[Any, ...]]:
    """`found` with the count: at least one row, with `spent_since` and `is_found`."""
    # Always the address first: two requests that share both rows cannot wait for each other.
    tried = (
        text(
            f"INSERT INTO {counts.__tablename__} AS t (key, since, tries)"
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
    return select(since, *there.c).select_from(spent.outerjoin(there, true()))


def _parameters(guess: Guess) -> dict[str, object]:
    return {
        "try_address": lookup_hash(guess.address, purpose="tries/address"),
        "try_number": lookup_hash(guess.number, purpose="tries/number"),
        "try_now": guess.now,
        "try_expired": guess.now - guess.budget.window,
        "per_address": guess.budget.per_address,
        "per_number": guess.budget.per_number,
    }


def _check_spent(spent_since: datetime | None, guess: Guess) -> None:
    if spent_since is None:
        return
    seconds = round((spent_since + guess.budget.window - guess.now).total_seconds())
    raise TooManyRequestsError(
        "too many tries; come back later", headers={"Retry-After": str(max(1, seconds))}
    )


async def forget_guesses(
    session: AsyncSession, counts: type[GuessCountRow], *, before: datetime
) -> None:
    """Delete the counts of windows that began before `before`."""
    _ = await session.execute(delete(counts).where(counts.since < before))
