"""How often telephone digits were tried for a case within a day."""

from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from shared.database.direct import Direct, command


class Failures(NamedTuple):
    failures: int


COUNT_TRY = Direct(
    "INSERT INTO hotline_try (case_number, day, failures) VALUES (:case_number, :day, 1)"
    " ON CONFLICT (case_number, day) DO UPDATE SET failures = hotline_try.failures + 1"
    " RETURNING failures",
    Failures,
)
GIVE_BACK = command(
    "UPDATE hotline_try SET failures = failures - 1 WHERE case_number = :case_number AND day = :day"
)
FORGET = command("DELETE FROM hotline_try WHERE day < :day")


@dataclass(frozen=True, slots=True)
class CountedTry:
    """A try that counts as a failure until it is given back; `failures` of the day include it."""

    case_number: str
    day: date
    failures: int

    async def give_back(self, session: AsyncSession) -> None:
        """The digits were right: the try does not count."""
        await GIVE_BACK.execute(session, case_number=self.case_number, day=self.day)


async def count_try(session: AsyncSession, case_number: str, *, day: date) -> CountedTry:
    row = await COUNT_TRY.first(session, case_number=case_number, day=day)
    assert row is not None, "the statement returns the row that it wrote"
    return CountedTry(case_number, day, row.failures)


async def forget_tries(session: AsyncSession, *, before: date) -> None:
    await FORGET.execute(session, day=before)
