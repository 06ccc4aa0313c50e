"""Rates of 好差评, exact after every change.

They are shown with their parts and compared with a recount.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.rating.model.rating import Rating
from services.ratings.statistics.model.counts import (
    KEYS,
    LEAST,
    MEASURES,
    Cell,
    Countable,
    Figures,
    Measure,
    cells_of_invitation,
    cells_of_rating,
)
from services.ratings.statistics.model.rates import (
    good,
    public_figures,
    rate,
    rated,
    staff_figures,
    wilson,
)
from services.ratings.statistics.queries import (
    Line,
    Question,
    find_coverage,
    list_differences,
    list_figures,
    list_public_figures,
)
from services.ratings.statistics.schemas import (
    Difference,
    PublicStatistics,
    Recounted,
    StaffStatistics,
)
from shared.database.direct import command
from shared.errors import FieldError, InvalidInputError
from shared.pagination import encode_cursor

# An administrator reads them one by one; more would not be looked at.
DIFFERENCES_MAX = 100
MONTHS_MAX = 24


def _count_statement() -> str:
    columns = ", ".join((*KEYS, *MEASURES))
    keys = ", ".join(KEYS)
    types = [f"{key} text" for key in KEYS if key != "month"]
    types += ["month date", *(f"{measure} int8" for measure in MEASURES)]
    sums = ", ".join(f"{name} = rating_count.{name} + excluded.{name}" for name in MEASURES)
    # Written in the order of the key everywhere, so that no two transactions wait for each other.
    return (
        f"INSERT INTO rating_count ({columns}) SELECT {columns}"
        f" FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r ({', '.join(types)})"
        f" ORDER BY {keys}"
        f" ON CONFLICT ({keys}) DO UPDATE SET {sums}"
    )


COUNT = command(_count_statement())


class CountChange(NamedTuple):
    """What a rating counted for before an act, and what it counts for after it."""

    rating: Rating
    before: Figures
    after: Figures


async def count_invitations(session: AsyncSession, invitations: Iterable[Countable]) -> None:
    """Count invitations that were just made (可评价办件), in their transaction."""
    cells: dict[Cell, Figures] = {}
    for invitation in invitations:
        for cell in cells_of_invitation(invitation):
            cells.setdefault(cell, Counter())["invited"] += 1
    await _add_to_counters(session, cells)


async def count_changes(session: AsyncSession, changes: Iterable[CountChange]) -> None:
    """Bring the counters from what each rating counted for to what it counts for now."""
    cells: dict[Cell, Figures] = {}
    for rating, before, after in changes:
        difference = after.copy()
        difference.subtract(before)
        # Most acts on a ticket change nothing that is counted.
        if not any(difference.values()):
            continue
        for cell in cells_of_rating(rating):
            cells.setdefault(cell, Counter()).update(difference)
    await _add_to_counters(session, cells)


async def _add_to_counters(session: AsyncSession, cells: dict[Cell, Figures]) -> None:
    rows: list[dict[str, object]] = []
    for cell, counts in cells.items():
        # Differences may cancel each other within one transaction.
        if any(counts.values()):
            numbers = {measure: counts[measure] for measure in MEASURES}
            rows.append({**cell._asdict(), **numbers})
    if rows:
        await COUNT.execute(session, rows=orjson.dumps(rows).decode())


def check_question(question: Question, *, public: bool) -> None:
    """Raise `InvalidInputError` for dimensions that are not counted together.

    The same for a question that needs a narrower area or a shorter time.
    """
    errors: list[FieldError] = []
    if len(question.group_by) > 2:
        errors.append(FieldError("group_by", "two", message="at most two dimensions"))
    crossed = _not_counted_together(question, public=public)
    if crossed:
        errors.append(
            FieldError(
                "group_by",
                "counted_together",
                message="not counted together: {dimensions}",
                dimensions=", ".join(crossed),
            )
        )
    if "window" in question.named and "hall" not in question.named:
        errors.append(FieldError("group_by", "hall", message="a window is named within its hall"))
    needs_area = {"matter", "hall", "window"} & set(question.group_by)
    if needs_area and "area" not in dict(question.only):
        errors.append(
            FieldError(
                "area",
                "narrow",
                message="matters, halls and windows are told apart within one area",
            )
        )
    if not 0 <= _months_between(question.first, last=question.last) < MONTHS_MAX:
        errors.append(
            FieldError(
                "last",
                "span",
                message="from the first month on, at most {months} months",
                months=MONTHS_MAX,
            )
        )
    if errors:
        raise InvalidInputError("these statistics are not kept", errors)


def _not_counted_together(question: Question, *, public: bool) -> list[str]:
    crossed = set(question.breakdowns)
    # A window is counted together with its hall, within which it is named.
    if "window" in question.named:
        crossed.discard("hall")
    if not public:
        # Every counter has its channel; only the published parts of a month are by channel alone.
        crossed.discard("channel")
    return sorted(crossed) if len(crossed) > 1 else []


def _months_between(first: date, *, last: date) -> int:
    return (last.year - first.year) * 12 + last.month - first.month


def _group_name(question: Question, line: Line) -> dict[str, str]:
    """The values of a group by dimension."""
    name: dict[str, str] = {}
    for dimension, value in zip(question.group_by, line.group, strict=True):
        if isinstance(value, date):
            name[dimension] = f"{value:%Y-%m}"
        else:
            name[dimension] = value
    return name


def _sum(lines: Sequence[Line]) -> dict[Measure, int]:
    totals: dict[Measure, int] = dict.fromkeys(MEASURES, 0)
    for line in lines:
        for measure in MEASURES:
            totals[measure] += line.counts[measure]
    return totals


def _ranks(lines: Sequence[Line], least: int) -> list[int | None]:
    """The rank of each line by the lower bound of the good rate; equal bounds have equal ranks.

    None for lines with fewer than `least` ratings, of which too little is known.
    """
    # The lower bound, because a share of few ratings may be high by chance.
    lows: list[float | None] = []
    for line in lines:
        number = rated(line.counts)
        bounds = wilson(good(line.counts), number=number)
        low = None
        if bounds is not None and number >= least:
            low = bounds["low"]
        lows.append(low)
    known = [low for low in lows if low is not None]
    ranks: dict[float | None, int] = {}
    for rank, low in enumerate(sorted(known, reverse=True), start=1):
        # The first of equal bounds gives its rank to all of them.
        _ = ranks.setdefault(low, rank)
    return [ranks.get(low) for low in lows]


@dataclass(frozen=True, slots=True)
class Slice:
    """The part of the groups to show: those after `after`, at most `limit`; None for all."""

    after: tuple[str, ...] | None = None
    limit: int | None = None


WHOLE = Slice()


class RankedGroup(NamedTuple):
    name: dict[str, str]
    line: Line
    rank: int | None

    @property
    def key(self) -> tuple[str, ...]:
        return tuple(self.name.values())


def _cut(groups: list[RankedGroup], part: Slice) -> tuple[list[RankedGroup], str | None]:
    """Groups in the order of their names, cut to `part`, and the cursor of the next part."""
    # By name: the order in the database depends on its collation, and cursors must not.
    groups.sort(key=lambda group: group.key)
    if part.after is not None:
        groups = [group for group in groups if group.key > part.after]
    if part.limit is None or len(groups) <= part.limit:
        return groups, None
    kept = groups[: part.limit]
    return kept, encode_cursor(*kept[-1].key)


def _ranked(question: Question, lines: Sequence[Line], *, least: int) -> list[RankedGroup]:
    """The groups with their names and ranks; none where the question asks for a total alone."""
    if not question.group_by:
        return []
    groups: list[RankedGroup] = []
    for line, rank in zip(lines, _ranks(lines, least), strict=True):
        groups.append(RankedGroup(_group_name(question, line), line, rank))
    return groups


def _is_without_channel(question: Question, line: Line) -> bool:
    # Invitations have no channel yet: the line that counts them is none of the channels.
    if "channel" not in question.group_by:
        return False
    return line.group[question.group_by.index("channel")] == ""


async def show_figures(
    session: AsyncSession, question: Question, *, least: int, part: Slice = WHOLE
) -> StaffStatistics:
    """Exact figures for staff; groups of at least `least` ratings are ranked."""
    check_question(question, public=False)
    found = await list_figures(session, question)
    lines = [line for line in found if not _is_without_channel(question, line)]
    total = _sum(lines)
    whole = rated(total)
    shown, next_cursor = _cut(_ranked(question, lines, least=least), part)
    groups: list[dict[str, object]] = []
    for name, line, rank in shown:
        figures = staff_figures(line.counts, whole)
        groups.append({"group": name, "rank": rank, "figures": figures})
    coverage = await find_coverage(session, question)
    return StaffStatistics.model_validate(
        {
            "first": f"{question.first:%Y-%m}",
            "last": f"{question.last:%Y-%m}",
            "coverage": rate(coverage.rated, denominator=coverage.departments),
            "total": staff_figures(total, whole),
            "groups": groups,
            "next": next_cursor,
        }
    )


async def show_public_figures(
    session: AsyncSession, question: Question, *, least: int, part: Slice = WHOLE
) -> PublicStatistics:
    """Figures for everybody, from what may be shown alone (docs/adr/0010)."""
    check_question(question, public=True)
    lines = await list_public_figures(session, question)
    total = _sum(lines)
    whole = rated(total)
    named: list[RankedGroup] = []
    for group in _ranked(question, lines, least=least):
        # Not even the names of a withheld breakdown are told: their number would tell how small
        # they are.
        if group.line.shown or question.breakdown is None:
            named.append(group)
    shown, next_cursor = _cut(named, part)
    groups = [_public_group(group, whole) for group in shown]
    coverage = await find_coverage(session, question)
    return PublicStatistics.model_validate(
        {
            "first": f"{question.first:%Y-%m}",
            "last": f"{question.last:%Y-%m}",
            "coverage": rate(coverage.rated, denominator=coverage.departments),
            "least": LEAST,
            "complete": not any(line.hidden for line in lines),
            "total": public_figures(total, whole),
            "groups": groups,
            "next": next_cursor,
        }
    )


def _public_group(group: RankedGroup, whole: int) -> dict[str, object]:
    name, line, rank = group
    figures = None
    if line.shown or not line.hidden:
        figures = public_figures(line.counts, whole)
    return {"group": name, "rank": rank, "figures": figures}


async def recount(session: AsyncSession) -> Recounted:
    """Compare every counter with the rows it stands for. Differences are told, never repaired."""
    differences: list[Difference] = []
    for cell, counted, true in await list_differences(session, DIFFERENCES_MAX):
        differences.append(Difference(cell=cell, counted=counted, true=true))
    return Recounted(equal=not differences, differences=differences)
