"""How often telephone digits were tried for a case within a day."""

from datetime import date
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from shared.database.direct import Direct, command


class Tries(NamedTuple):
    failures: int


COUNT_TRY = Direct(
    "INSERT INTO hotline_try (case_number, day, failures) VALUES (:case_number, :day, 1)"
    " ON CONFLICT (case_number, day) DO UPDATE SET failures = hotline_try.failures + 1"
    " RETURNING failures",
    Tries,
)
GIVE_BACK = command(
    "UPDATE hotline_try SET failures = failures - 1 WHERE case_number = :case_number AND day = :day"
)
FORGET = command("DELETE FROM hotline_try WHERE day < :day")


async def count_try(session: AsyncSession, case_number: str, *, day: date) -> int:
    """Count one more try; returns their number, this one included."""
    tries = await COUNT_TRY.first(session, case_number=case_number, day=day)
    assert tries is not None
    return tries.failures


async def give_try_back(session: AsyncSession, case_number: str, *, day: date) -> None:
    """The digits were right: the try does not count."""
    await GIVE_BACK.execute(session, case_number=case_number, day=day)


async def forget_tries(session: AsyncSession, *, before: date) -> None:
    await FORGET.execute(session, day=before)
