"""Every SELECT of statistics. None looks at a rating but `RECOUNT`, which is for the administrator's comparison."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.statistics.model.counts import KEYS, LEAST, MEASURES

RATED = "grade_1 + grade_2 + grade_3 + grade_4 + grade_5"

Dimension = Literal["area", "department", "matter", "hall", "window", "channel", "month"]
BASE: dict[str, str] = {"area": "area_code", "department": "department_code", "month": "month"}
PARTS: dict[str, tuple[str, dict[str, str]]] = {
    "channel": ("department", {"channel": "pf"}),
    "matter": ("matter", {"matter": "item"}),
    "hall": ("hall", {"hall": "item"}),
    "window": ("window", {"hall": "item", "window": "part"}),
}
"""What a department's month can be broken down by: the grain that counts it, and its columns."""


@dataclass(frozen=True, slots=True)
class Question:
    """Figures of the months `first` to `last`, told apart by `group_by`, of what `only` names (dimension → value)."""

    first: date
    last: date
    group_by: tuple[Dimension, ...] = ()
    only: tuple[tuple[Dimension, str], ...] = ()

    @property
    def named(self) -> set[str]:
        return {*self.group_by, *(name for name, _ in self.only)}

    @property
    def parts(self) -> set[str]:
        """The breakdowns it asks for."""
        return self.named & set(PARTS)

    @property
    def breakdown(self) -> str | None:
        return next(
            (name for name in ("window", "hall", "matter", "channel") if name in self.parts), None
        )

    def column(self, name: str) -> str:
        if name in BASE:
            return BASE[name]
        if name == "channel":
            return "pf"
        return PARTS[self.breakdown or ""][1][name]


def _where(question: Question, names: set[str]) -> str:
    return "".join(
        f" AND {question.column(name)} = :{name}" for name, _ in question.only if name in names
    )


def _values(question: Question) -> dict[str, Any]:
    return {"first": question.first, "last": question.last, **dict(question.only)}


def _within(question: Question) -> str:
    """The months of one grain, named in the text, so that the partial index of departments can serve."""
    grain = PARTS[question.breakdown][0] if question.breakdown else "department"
    return f"FROM rating_count WHERE grain = '{grain}' AND month BETWEEN :first AND :last"


def _grouping(question: Question) -> tuple[str, str]:
    """The columns under their dimensions' names, and their numbers for GROUP BY."""
    chosen = "".join(f'{question.column(name)} AS "{name}", ' for name in question.group_by)
    places = ", ".join(str(n) for n in range(1, len(question.group_by) + 1))
    return chosen, f" GROUP BY {places} ORDER BY {places}" if places else ""


@dataclass(frozen=True, slots=True)
class Line:
    """One group: its values in the order of `group_by`, and every measure's sum.

    Of public figures also the number of ratings that are shown, and whether some are not.
    """

    group: tuple[Any, ...]
    counts: dict[str, int]
    shown: int = 0
    hidden: bool = False


def _lines(question: Question, rows: Iterable[Sequence[Any]]) -> list[Line]:
    here = len(question.group_by)
    there = here + len(MEASURES)
    return [
        Line(tuple(row[:here]), dict(zip(MEASURES, row[here:there], strict=True)), *row[there:])
        for row in rows
    ]


async def list_figures(session: AsyncSession, question: Question) -> list[Line]:
    """The groups, sorted."""
    chosen, grouping = _grouping(question)
    sums = ", ".join(f"coalesce(sum({measure}), 0)::bigint AS {measure}" for measure in MEASURES)
    statement = (
        f"SELECT {chosen}{sums} {_within(question)}{_where(question, question.named)}{grouping}"
    )
    return _lines(question, await session.execute(text(statement), _values(question)))


async def list_public_figures(session: AsyncSession, question: Question) -> list[Line]:
    """The same from what may be published alone (docs/adr/0010): a department's month of at least `LEAST` ratings, and
    its breakdown where each part that is not empty has as many. Groups of which nothing is shown come with `shown` 0."""
    chosen, grouping = _grouping(question)
    parts = PARTS[question.breakdown][1].values() if question.breakdown else ()
    cell = ", ".join((*BASE.values(), *parts))
    sums = ", ".join(f"sum({measure})::bigint AS {measure}" for measure in MEASURES)
    # Whether something is hidden is told without the filter: else it would tell which parts are not empty.
    safe = f"FILTER (WHERE safe{_where(question, set(PARTS))})"
    kept = ", ".join(f"coalesce(sum({name}) {safe}, 0)::bigint AS {name}" for name in MEASURES)
    shown = f"coalesce(sum({RATED}) {safe}, 0)::bigint AS shown"
    hidden = f"coalesce(sum({RATED}) FILTER (WHERE NOT safe), 0) > 0 AS hidden"
    statement = (
        f"WITH cell AS (SELECT {cell}, {sums} {_within(question)}{_where(question, set(BASE))} GROUP BY {cell}),"
        f" judged AS (SELECT *, coalesce(min({RATED}) FILTER (WHERE {RATED} > 0) OVER department_month, :least) >= :least"
        " AS safe FROM cell WINDOW department_month AS (PARTITION BY month, area_code, department_code))"
        f" SELECT {chosen}{kept}, {shown}, {hidden} FROM judged{grouping}"
    )
    return _lines(
        question, await session.execute(text(statement), {**_values(question), "least": LEAST})
    )


COVERAGE = (
    "SELECT count(*) FILTER (WHERE rated > 0) AS rated, count(*) AS departments FROM"
    f" (SELECT sum({RATED}) AS rated, sum(invited) AS invited %s GROUP BY area_code, department_code) d"
    " WHERE rated > 0 OR invited > 0"
)


async def find_coverage(session: AsyncSession, question: Question) -> tuple[int, int]:
    """部门覆盖率: departments with a rating, and departments that served anybody who could have rated."""
    plain = Question(
        question.first, question.last, (), tuple(one for one in question.only if one[0] in BASE)
    )
    row = (
        await session.execute(
            text(COVERAGE % (_within(plain) + _where(plain, set(BASE)))), _values(plain)
        )
    ).one()
    return row.rated, row.departments


_KEYS = ", ".join(KEYS)
_ITEMS = (
    "CASE grain WHEN 'matter' THEN coalesce(matter_code, '') WHEN 'department' THEN '' ELSE coalesce(hall, '') END AS item,"
    " CASE grain WHEN 'window' THEN coalesce(\"window\", '') ELSE '' END AS part"
)
_GRAINS = "(VALUES ('department'), ('matter'), ('hall'), ('window')) g (grain)"
_COLUMNS = 'area_code, department_code, month, matter_code, hall, "window", pf, sub_channel'
_BAD = "r.grade <= 2 AND r.excluded_on IS NULL"
_RULES = {
    "invited": "false",
    **{f"grade_{grade}": f"r.grade = {grade} AND r.excluded_on IS NULL" for grade in range(1, 6)},
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
CELLS = (
    f"SELECT {_KEYS}, {', '.join(f'sum({measure})::bigint AS {measure}' for measure in MEASURES)} FROM"
    f" (SELECT grain, {_COLUMNS}, {_ITEMS}, {', '.join(MEASURES)} FROM"
    " (SELECT r.area_code, r.department_code, date_trunc('month', r.rated_on)::date AS month, r.matter_code, r.hall,"
    ' r."window", r.pf, r.sub_channel, '
    + ", ".join(f"coalesce({_RULES[measure]}, false)::int AS {measure}" for measure in MEASURES)
    + " FROM rating r LEFT JOIN ticket t ON t.rating_id = r.id LEFT JOIN appeal a ON a.ticket_id = t.id"
    " UNION ALL SELECT area_code, department_code,"
    " date_trunc('month', invited_at AT TIME ZONE 'Asia/Shanghai')::date, matter_code, hall, \"window\", '', '', 1, "
    + ", ".join("0" for _ in MEASURES[1:])
    + f" FROM invitation) one CROSS JOIN {_GRAINS}) of_grain GROUP BY {_KEYS}"
)
"""The counters as the tables say they must be: the rule of `model.statistics` once more, over all rows at once."""
RECOUNT = (
    f"SELECT {_KEYS}, "
    + ", ".join(
        f"coalesce(c.{m}, 0) AS counted_{m}, coalesce(t.{m}, 0) AS true_{m}" for m in MEASURES
    )
    + f" FROM rating_count c FULL JOIN ({CELLS}) t USING ({_KEYS}) WHERE "
    + " OR ".join(f"coalesce(c.{m}, 0) <> coalesce(t.{m}, 0)" for m in MEASURES)
    + f" ORDER BY {_KEYS} LIMIT :limit"
)


async def list_differences(session: AsyncSession, limit: int) -> Sequence[Any]:
    """Cells whose counters are not what the rows say. Reads everything: minutes at tens of millions of rows."""
    _ = await session.execute(text("SET LOCAL statement_timeout = '10min'"))
    return (await session.execute(text(RECOUNT), {"limit": limit})).all()
