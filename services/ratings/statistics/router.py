"""HTTP in and out of statistics for staff, and the administrator's comparison."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from services.ratings.access import Config, Overseer, scope_of
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
Channel = Annotated[str | None, Query(pattern=r"^[1-7]$", description="pf")]


def first_day_of(month: str) -> date:
    """The first day of a month given as `YYYY-MM`."""
    return date.fromisoformat(f"{month}-01")


def months_before(first: date, months: int) -> date:
    """The first day of the month so many months before that of `first`."""
    number = first.year * 12 + first.month - 1 - months
    return date(number // 12, number % 12 + 1, 1)


class QuestionInQuery:
    """The question as it stands in the query; months default to the year up to the newest one."""

    def __init__(
        self,
        *,
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
        channel: Channel = None,
    ) -> None:
        # Naming a dimension twice asks for it once.
        self.group_by = tuple(dict.fromkeys(group_by or ()))
        self.first = first
        self.last = last
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

    def restrict(self, dimension: Dimension, value: str) -> bool:
        """Ask only about this value; False when another value was asked for."""
        return self.only.setdefault(dimension, value) == value

    def question(self, newest: date) -> Question:
        """The question, up to the month that begins with `newest` by default."""
        last = newest
        if self.last is not None:
            last = first_day_of(self.last)
        first = months_before(last, 11)
        if self.first is not None:
            first = first_day_of(self.first)
        return Question(first, last, group_by=self.group_by, only=tuple(self.only.items()))


Asked = Annotated[QuestionInQuery, Depends()]


def slice_of(cursor: str | None, question: Question, *, limit: int) -> Slice:
    """The part of the answer's groups that the cursor leads to."""
    if cursor is None:
        return Slice(limit=limit)
    kinds = [str] * len(question.group_by)
    return Slice(after=tuple(decode_cursor(cursor, *kinds)), limit=limit)


@router.get("")
async def get_statistics(
    *,
    asked: Asked,
    session: ReadSession,
    caller: Overseer,
    settings: Config,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> StaffStatistics:
    """Exact figures within the caller's department or area, each rate with its parts."""
    # Officers need not name their own office; naming another one is refused.
    scope = scope_of(caller, settings)
    if scope.area_code is not None and not asked.restrict("area", scope.area_code):
        raise ForbiddenError("your area is {area}", area=scope.area_code)
    department = scope.department_code
    if department is not None and not asked.restrict("department", department):
        raise ForbiddenError("your department is {department}", department=department)
    question = asked.question(clock.local_date(clock.now()).replace(day=1))
    part = slice_of(cursor, question, limit=limit)
    return await use_cases.show_figures(
        session, question, least=settings.ranking_minimum, part=part
    )


@router.get("/recount")
async def recount(session: Session, _administrator: Administrator) -> Recounted:
    """Compare every counter with a recount of all ratings; nothing is repaired."""
    return await use_cases.recount(session)
