"""Every SELECT of statistics.

All read the counters. Only `RECOUNT` reads ratings; it is for the administrator's comparison.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, NamedTuple

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.statistics.model.counts import KEYS, LEAST, MEASURES, Grain, Measure

RATED = "grade_1 + grade_2 + grade_3 + grade_4 + grade_5"

Dimension = Literal["area", "department", "matter", "hall", "window", "channel", "month"]
DEPARTMENT_COLUMNS: dict[str, str] = {
    "area": "area_code",
    "department": "department_code",
    "month": "month",
}
"""Dimensions that every counter has, with their columns."""


class Breakdown(NamedTuple):
    """What a department's month can be broken down by.

    Each has the grain that counts it, and its columns.
    """

    grain: Grain
    columns: dict[str, str]


BREAKDOWNS: dict[str, Breakdown] = {
    "channel": Breakdown(Grain.DEPARTMENT, {"channel": "pf"}),
    "matter": Breakdown(Grain.MATTER, {"matter": "item"}),
    "hall": Breakdown(Grain.HALL, {"hall": "item"}),
    "window": Breakdown(Grain.WINDOW, {"hall": "item", "window": "part"}),
}
FINEST_FIRST = ("window", "hall", "matter", "channel")


@dataclass(frozen=True, slots=True)
class Question:
    """Figures of the months `first` to `last`, each the first day of its month.

    They are told apart by `group_by`, and restricted to the values in `only`.
    """

    first: date
    last: date
    group_by: tuple[Dimension, ...] = ()
    only: tuple[tuple[Dimension, str], ...] = ()

    @property
    def named(self) -> set[str]:
        """Every dimension that the question names."""
        return {*self.group_by, *(name for name, _ in self.only)}

    @property
    def breakdowns(self) -> set[str]:
        """The breakdowns that it asks for."""
        return self.named & set(BREAKDOWNS)

    @property
    def breakdown(self) -> Breakdown | None:
        """The finest breakdown that it asks for."""
        for name in FINEST_FIRST:
            if name in self.breakdowns:
                return BREAKDOWNS[name]
        return None

    @property
    def grain(self) -> Grain:
        if self.breakdown is None:
            return Grain.DEPARTMENT
        return self.breakdown.grain

    def column(self, name: str) -> str:
        """The column of a dimension that the question names."""
        if name in DEPARTMENT_COLUMNS:
            return DEPARTMENT_COLUMNS[name]
        # The channel is a column of every grain, also where another breakdown is asked for.
        if name == "channel":
            return "pf"
        assert self.breakdown is not None
        return self.breakdown.columns[name]


def _conditions(question: Question, names: set[str]) -> str:
    """The restrictions of the question to values of the dimensions in `names`."""
    conditions = ""
    for name, _ in question.only:
        if name in names:
            conditions += f" AND {question.column(name)} = :{name}"
    return conditions


def _parameters(question: Question) -> dict[str, date | str | int]:
    return {"first": question.first, "last": question.last, **dict(question.only)}


def _months(question: Question) -> str:
    # The grain stands in the text, so that the partial index of departments can serve.
    return f"FROM rating_count WHERE grain = '{question.grain}' AND month BETWEEN :first AND :last"


class Grouping(NamedTuple):
    """Columns of the groups, and the clause that groups by them.

    Each column has its dimension's name.
    """

    columns: str
    clause: str


def _grouping(question: Question) -> Grouping:
    if not question.group_by:
        return Grouping("", "")
    columns = "".join(f'{question.column(name)} AS "{name}", ' for name in question.group_by)
    # By number: a column and its alias may have the same name.
    numbers = ", ".join(str(number) for number in range(1, len(question.group_by) + 1))
    return Grouping(columns, f" GROUP BY {numbers} ORDER BY {numbers}")


@dataclass(frozen=True, slots=True)
class Line:
    """One group: its values in the order of `group_by`, and every measure's sum.

    Of public figures also `shown`, the number of ratings that are shown, and whether some are
    `hidden`.
    """

    group: tuple[str | date, ...]
    counts: dict[Measure, int]
    shown: int = 0
    hidden: bool = False


def _lines(question: Question, rows: Iterable[Sequence[Any]]) -> list[Line]:
    # The columns of a row depend on the question: its groups, the measures, and what is hidden.
    counts_from = len(question.group_by)
    counts_to = counts_from + len(MEASURES)
    lines: list[Line] = []
    for row in rows:
        counts = dict(zip(MEASURES, row[counts_from:counts_to], strict=True))
        lines.append(Line(tuple(row[:counts_from]), counts, *row[counts_to:]))
    return lines


async def list_figures(session: AsyncSession, question: Question) -> list[Line]:
    """The groups, sorted."""
    grouping = _grouping(question)
    sums = ", ".join(f"coalesce(sum({measure}), 0)::bigint AS {measure}" for measure in MEASURES)
    conditions = _conditions(question, question.named)
    statement = f"SELECT {grouping.columns}{sums} {_months(question)}{conditions}{grouping.clause}"
    return _lines(question, await session.execute(text(statement), _parameters(question)))


async def list_public_figures(session: AsyncSession, question: Question) -> list[Line]:
    """The same, from what may be published alone (docs/adr/0010).

    That is a department's month of at least `LEAST` ratings, and its breakdown where each part that
    is not empty has as many. Groups of which nothing is shown come with `shown` 0.
    """
    grouping = _grouping(question)
    # `hidden` must not depend on this filter: else it would tell which parts are not empty.
    safe = f"FILTER (WHERE safe{_conditions(question, set(BREAKDOWNS))})"
    kept = ", ".join(f"coalesce(sum({name}) {safe}, 0)::bigint AS {name}" for name in MEASURES)
    shown = f"coalesce(sum({RATED}) {safe}, 0)::bigint AS shown"
    hidden = f"coalesce(sum({RATED}) FILTER (WHERE NOT safe), 0) > 0 AS hidden"
    statement = (
        f"WITH {_judged_cells(question)}"
        f" SELECT {grouping.columns}{kept}, {shown}, {hidden} FROM judged{grouping.clause}"
    )
    parameters = {**_parameters(question), "least": LEAST}
    return _lines(question, await session.execute(text(statement), parameters))


def _judged_cells(question: Question) -> str:
    """`judged`: the cells that the question needs, each with whether it is `safe` to show."""
    cell_columns = [*DEPARTMENT_COLUMNS.values()]
    if question.breakdown is not None:
        cell_columns += question.breakdown.columns.values()
    cell = ", ".join(cell_columns)
    # All parts of a department's month, whatever the question asks for: the smallest decides.
    conditions = _conditions(question, set(DEPARTMENT_COLUMNS))
    return (
        f"cell AS (SELECT {cell}, {_sums()} {_months(question)}{conditions} GROUP BY {cell}),"
        " judged AS (SELECT *,"
        f" coalesce(min({RATED}) FILTER (WHERE {RATED} > 0) OVER department_month, :least)"
        " >= :least AS safe"
        " FROM cell"
        " WINDOW department_month AS (PARTITION BY month, area_code, department_code))"
    )


class Coverage(NamedTuple):
    """部门覆盖率: departments with a rating, and departments that served anybody at all."""

    rated: int
    departments: int


async def find_coverage(session: AsyncSession, question: Question) -> Coverage:
    """How many of the departments that served somebody who could have rated have a rating."""
    # Whether a department has a rating does not depend on the breakdown that is shown.
    only = tuple(one for one in question.only if one[0] in DEPARTMENT_COLUMNS)
    plain = Question(question.first, question.last, only=only)
    conditions = _conditions(plain, set(DEPARTMENT_COLUMNS))
    statement = (
        "SELECT count(*) FILTER (WHERE rated > 0) AS rated, count(*) AS departments FROM"
        f" (SELECT sum({RATED}) AS rated, sum(invited) AS invited {_months(plain)}{conditions}"
        " GROUP BY area_code, department_code) d"
        " WHERE rated > 0 OR invited > 0"
    )
    row = (await session.execute(text(statement), _parameters(plain))).one()
    return Coverage(*row)


_KEYS = ", ".join(KEYS)
_ITEMS = (
    "CASE grain WHEN 'matter' THEN coalesce(matter_code, '') WHEN 'department' THEN ''"
    " ELSE coalesce(hall, '') END AS item,"
    " CASE grain WHEN 'window' THEN coalesce(\"window\", '') ELSE '' END AS part"
)
_GRAINS = "(VALUES ('department'), ('matter'), ('hall'), ('window')) g (grain)"
_COLUMNS = 'area_code, department_code, month, matter_code, hall, "window", pf, sub_channel'
_BAD = "r.grade <= 2 AND r.excluded_on IS NULL"
_RULES: dict[Measure, str] = {
    "invited": "false",
    "grade_1": "r.grade = 1 AND r.excluded_on IS NULL",
    "grade_2": "r.grade = 2 AND r.excluded_on IS NULL",
    "grade_3": "r.grade = 3 AND r.excluded_on IS NULL",
    "grade_4": "r.grade = 4 AND r.excluded_on IS NULL",
    "grade_5": "r.grade = 5 AND r.excluded_on IS NULL",
    "real_bad": f"{_BAD} AND r.real_name",
    "called_back": f"{_BAD} AND r.real_name AND t.called_back_on IS NOT NULL",
    "rectify_due": f"{_BAD} AND (t.rectified_on IS NOT NULL OR t.rectify_late)",
    "rectified": f"{_BAD} AND t.rectified_on IS NOT NULL",
    "rectified_in_time": f"{_BAD} AND t.rectified_on <= t.rectify_due_on",
    "rerated": "r.excluded_on IS NULL AND t.satisfied IS NOT NULL",
    "satisfied": "r.excluded_on IS NULL AND t.satisfied",
    "excluded": "r.excluded_on IS NOT NULL",
    "appeals_decided": "a.decided_on IS NOT NULL",
    "appeals_upheld": "a.decided_on IS NOT NULL AND a.refused_by IS NULL",
}


def _sums() -> str:
    return ", ".join(f"sum({measure})::bigint AS {measure}" for measure in MEASURES)


def _rules() -> str:
    return ", ".join(f"coalesce({_RULES[name]}, false)::int AS {name}" for name in MEASURES)


CELLS = (
    f"SELECT {_KEYS}, {_sums()} FROM"
    f" (SELECT grain, {_COLUMNS}, {_ITEMS}, {', '.join(MEASURES)} FROM"
    " (SELECT r.area_code, r.department_code, date_trunc('month', r.rated_on)::date AS month,"
    ' r.matter_code, r.hall, r."window", r.pf, r.sub_channel, '
    f"{_rules()}"
    " FROM rating r LEFT JOIN ticket t ON t.rating_id = r.id"
    " LEFT JOIN appeal a ON a.ticket_id = t.id"
    " UNION ALL SELECT area_code, department_code,"
    " date_trunc('month', invited_at AT TIME ZONE 'Asia/Shanghai')::date,"
    " matter_code, hall, \"window\", '', '', 1, "
    f"{', '.join('0' for _ in MEASURES[1:])}"
    f" FROM invitation) one CROSS JOIN {_GRAINS}) of_grain GROUP BY {_KEYS}"
)
"""The counters as the tables say they must be: the rule of `figures`, over all rows at once."""


def _recount() -> str:
    compared = ", ".join(
        f"coalesce(c.{name}, 0) AS counted_{name}, coalesce(t.{name}, 0) AS true_{name}"
        for name in MEASURES
    )
    differs = " OR ".join(f"coalesce(c.{m}, 0) <> coalesce(t.{m}, 0)" for m in MEASURES)
    return (
        f"SELECT {_KEYS}, {compared} FROM rating_count c FULL JOIN ({CELLS}) t USING ({_KEYS})"
        f" WHERE {differs} ORDER BY {_KEYS} LIMIT :limit"
    )


RECOUNT = _recount()


class CellDifference(NamedTuple):
    """A cell whose counters are not what the rows say."""

    cell: dict[str, str]
    counted: dict[Measure, int]
    true: dict[Measure, int]


def _measured(row: RowMapping, prefix: str) -> dict[Measure, int]:
    return {measure: row[f"{prefix}{measure}"] for measure in MEASURES}


async def list_differences(session: AsyncSession, limit: int) -> list[CellDifference]:
    """Cells whose counters are not what the rows say.

    Reads all rows: minutes at tens of millions of them.
    """
    # For this transaction only; everything else keeps the limit of 30 seconds.
    _ = await session.execute(text("SET LOCAL statement_timeout = '10min'"))
    rows = (await session.execute(text(RECOUNT), {"limit": limit})).mappings()
    found: list[CellDifference] = []
    for row in rows:
        cell = {key: str(row[key]) for key in KEYS}
        found.append(CellDifference(cell, _measured(row, "counted_"), _measured(row, "true_")))
    return found
