"""HTTP in and out of statistics for staff, and the administrator's comparison."""

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from services.ratings.staff_access import Config, Overseer, scope
from services.ratings.statistics import use_cases
from services.ratings.statistics.queries import Dimension, Question
from services.ratings.statistics.schemas import Recounted, StaffStatistics
from services.ratings.statistics.use_cases import Slice
from shared import clock
from shared.errors import ForbiddenError
from shared.fields import CLEAN
from shared.http.dependencies import ReadSession, Session
from shared.pagination import Cursor, Limit, decode_cursor
from shared.security.auth import Administrator

router = APIRouter(prefix="/statistics")

Month = Annotated[str, Query(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])$", description="YYYY-MM")]
Value = Annotated[Annotated[str, CLEAN] | None, Query(min_length=1, max_length=300)]


def month(text: str) -> date:
    return date.fromisoformat(f"{text}-01")


def earlier(first: date, months: int) -> date:
    """The first day of the month so many months before (negative: after)."""
    number = first.year * 12 + first.month - 1 - months
    return date(number // 12, number % 12 + 1, 1)


class Asked:
    """The question as it stands in the query; months default to the year up to this one."""

    def __init__(
        self,
        group_by: Annotated[
            list[Dimension] | None, Query(max_length=7, description="One or two dimensions")
        ] = None,
        first: Month | None = None,
        last: Month | None = None,
        area: Value = None,
        department: Value = None,
        matter: Value = None,
        hall: Value = None,
        window: Value = None,
        channel: Annotated[str | None, Query(pattern=r"^[1-7]$", description="pf")] = None,
    ) -> None:
        self.group_by = tuple(dict.fromkeys(group_by or ()))
        self.first, self.last = first, last
        values: dict[Dimension, str | None] = {
            "area": area,
            "department": department,
            "matter": matter,
            "hall": hall,
            "window": window,
            "channel": channel,
        }
        self.only: dict[Dimension, str] = {
            name: value for name, value in values.items() if value is not None
        }

    def question(self, newest: date) -> Question:
        last = month(self.last) if self.last else newest
        first = month(self.first) if self.first else earlier(last, 11)
        return Question(first, last, self.group_by, tuple(self.only.items()))


Ask = Annotated[Asked, Depends()]


def after_of(cursor: str | None, question: Question) -> tuple[str, ...] | None:
    return tuple(decode_cursor(cursor, *[str] * len(question.group_by))) if cursor else None


@router.get("", response_model=StaffStatistics)
async def get_statistics(
    asked: Ask,
    session: ReadSession,
    caller: Overseer,
    settings: Config,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Any:
    """Exact figures within the caller's department or area, each rate with its parts."""
    own: tuple[tuple[Dimension, str | None], ...] = tuple(
        zip(("area", "department"), scope(caller, settings), strict=True)
    )
    for name, value in own:
        if value is not None and asked.only.setdefault(name, value) != value:
            raise ForbiddenError(f"your {name} is {value}")
    question = asked.question(clock.local_date(clock.now()).replace(day=1))
    part = Slice(after_of(cursor, question), limit)
    return await use_cases.show_figures(session, question, settings.ranking_minimum, part)


@router.get("/recount", response_model=Recounted)
async def recount(session: Session, _administrator: Administrator) -> Any:
    """Compare every counter with a recount of all ratings; nothing is repaired."""
    return await use_cases.recount(session)
