"""Rates of 好差评, kept exact with every change, shown with their parts, compared with a recount."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.rating.model.rating import Rating
from services.ratings.statistics.model.counts import (
    KEYS,
    LEAST,
    MEASURES,
    Cell,
    Invitable,
    cells_of_invitation,
    cells_of_rating,
    figures,
)
from services.ratings.statistics.model.counts import Figures as Counts
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
from services.ratings.tickets.model.appeal import Appeal
from services.ratings.tickets.model.ticket import Ticket
from shared.errors import FieldError, InvalidInputError
from shared.pagination import encode_cursor

SHOWN_DIFFERENCES = 100
_COLUMNS = ", ".join((*KEYS, *MEASURES))
_TYPED = ", ".join(
    (
        *(f"{key} {'date' if key == 'month' else 'text'}" for key in KEYS),
        *(f"{m} int8" for m in MEASURES),
    )
)
# Written in the order of the key everywhere, so that two transactions cannot wait for each other in a ring.
COUNT = text(
    f"INSERT INTO rating_count ({_COLUMNS}) SELECT {_COLUMNS}"
    f" FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r ({_TYPED}) ORDER BY {', '.join(KEYS)}"
    f" ON CONFLICT ({', '.join(KEYS)}) DO UPDATE SET "
    + ", ".join(f"{measure} = rating_count.{measure} + excluded.{measure}" for measure in MEASURES)
)


async def count_rating(session: AsyncSession, rating: Rating, change: int) -> None:
    """Count a rating in (1) or out (-1), in the transaction of the change."""
    counts = Counter(
        {measure: change * number for measure, number in figures(rating, None, None).items()}
    )
    await _add(session, dict.fromkeys(cells_of_rating(rating), counts))


async def count_invitations(session: AsyncSession, invitations: Iterable[Invitable]) -> None:
    """Count invitations that were just made (可评价办件), in their transaction."""
    cells: dict[Cell, Counts] = {}
    for invitation in invitations:
        for cell in cells_of_invitation(invitation):
            cells.setdefault(cell, Counter())["invited"] += 1
    await _add(session, cells)


async def count_changes(
    session: AsyncSession, changes: Sequence[tuple[Rating, Ticket | None, Appeal | None, Counts]]
) -> None:
    """Bring the counters from what each rating counted for before (`figures`) to what it counts for now."""
    cells: dict[Cell, Counts] = {}
    for rating, ticket, appeal, before in changes:
        after = figures(rating, ticket, appeal)
        after.subtract(before)
        if any(after.values()):
            for cell in cells_of_rating(rating):
                cells.setdefault(cell, Counter()).update(after)
    await _add(session, cells)


async def _add(session: AsyncSession, cells: dict[Cell, Counts]) -> None:
    rows = [
        {**cell._asdict(), **{measure: counts[measure] for measure in MEASURES}}
        for cell, counts in cells.items()
        if any(counts.values())
    ]
    if rows:
        _ = await session.execute(COUNT, {"rows": orjson.dumps(rows).decode()})


def check_question(question: Question, *, public: bool) -> None:
    """400 for dimensions that are not counted together, or that need a narrower question."""
    faults = (
        [FieldError("group_by", "two", "at most two dimensions")]
        if len(question.group_by) > 2
        else []
    )
    crossed = (
        question.parts
        - ({"hall"} if "window" in question.named else set())
        - (set() if public else {"channel"})
    )
    if len(crossed) > 1:
        message = f"not counted together: {', '.join(sorted(crossed))}"
        faults.append(FieldError("group_by", "counted_together", message))
    if "window" in question.named and "hall" not in question.named:
        faults.append(FieldError("group_by", "hall", "a window is named within its hall"))
    if {"matter", "hall", "window"} & set(question.group_by) and "area" not in dict(question.only):
        faults.append(
            FieldError(
                "area", "narrow", "matters, halls and windows are told apart within one area"
            )
        )
    months = (
        (question.last.year - question.first.year) * 12 + question.last.month - question.first.month
    )
    if not 0 <= months < 24:
        faults.append(FieldError("last", "span", "from the first month on, at most 24 months"))
    if faults:
        raise InvalidInputError("these statistics are not kept", faults)


def _group(question: Question, line: Line) -> dict[str, str]:
    named = zip(question.group_by, line.group, strict=True)
    return {name: f"{value:%Y-%m}" if name == "month" else value for name, value in named}


def _sum(lines: Sequence[Line]) -> dict[str, int]:
    return {measure: sum(line.counts[measure] for line in lines) for measure in MEASURES}


def _ranks(lines: Sequence[Line], least: int) -> dict[int, int]:
    """Line → rank by the lower bound of the good rate, only where there are enough ratings to say so."""
    lows: dict[int, float] = {}
    for place, line in enumerate(lines):
        bounds = wilson(good(line.counts), number := rated(line.counts))
        if bounds is not None and number >= least:
            lows[place] = bounds["low"]
    ranks: dict[float, int] = {}
    for rank, low in enumerate(sorted(lows.values(), reverse=True), start=1):
        _ = ranks.setdefault(low, rank)
    return {place: ranks[low] for place, low in lows.items()}


@dataclass(frozen=True, slots=True)
class Slice:
    """The part of the groups to show: after one, and so many; without limit all."""

    after: tuple[str, ...] | None = None
    limit: int | None = None


WHOLE = Slice()


def _cut(
    groups: list[tuple[dict[str, str], Any, int | None]], part: Slice
) -> tuple[list[Any], str | None]:
    """Groups in the order of their names, cut to the part asked for, and the cursor of what follows."""
    groups.sort(key=lambda group: tuple(group[0].values()))
    later = [
        group for group in groups if part.after is None or tuple(group[0].values()) > part.after
    ]
    if part.limit is None or len(later) <= part.limit:
        return later, None
    return later[: part.limit], encode_cursor(*later[part.limit - 1][0].values())


def _without_channel(question: Question, line: Line) -> bool:
    """Invitations have no channel yet: their line is none of the channels."""
    return "channel" in question.group_by and line.group[question.group_by.index("channel")] == ""


async def show_figures(
    session: AsyncSession, question: Question, least: int, part: Slice = WHOLE
) -> StaffStatistics:
    """Exact figures for staff; ranked from `least` ratings on."""
    check_question(question, public=False)
    lines = [
        line
        for line in await list_figures(session, question)
        if not _without_channel(question, line)
    ]
    total, ranks = _sum(lines), _ranks(lines, least) if question.group_by else {}
    whole = rated(total)
    named = [
        (_group(question, line), line, ranks.get(n))
        for n, line in enumerate(lines)
        if question.group_by
    ]
    chosen, following = _cut(named, part)
    return StaffStatistics.model_validate(
        {
            "first": f"{question.first:%Y-%m}",
            "last": f"{question.last:%Y-%m}",
            "coverage": rate(*await find_coverage(session, question)),
            "total": staff_figures(total, whole),
            "groups": [
                {"group": name, "rank": rank, "figures": staff_figures(line.counts, whole)}
                for name, line, rank in chosen
            ],
            "next": following,
        }
    )


async def show_public_figures(
    session: AsyncSession, question: Question, least: int, part: Slice = WHOLE
) -> PublicStatistics:
    """Figures for everybody, from what may be shown alone (docs/adr/0010)."""
    check_question(question, public=True)
    lines = await list_public_figures(session, question)
    total, ranks = _sum(lines), _ranks(lines, least) if question.group_by else {}
    whole = rated(total)
    # Of a breakdown that is withheld not even the names are told: how many there are would tell how small they are.
    named = [
        (_group(question, line), line, ranks.get(n))
        for n, line in enumerate(lines)
        if question.group_by and (line.shown or not question.breakdown)
    ]
    chosen, following = _cut(named, part)
    return PublicStatistics.model_validate(
        {
            "first": f"{question.first:%Y-%m}",
            "last": f"{question.last:%Y-%m}",
            "coverage": rate(*await find_coverage(session, question)),
            "least": LEAST,
            "complete": not any(line.hidden for line in lines),
            "total": public_figures(total, whole),
            "groups": [
                {
                    "group": name,
                    "rank": rank,
                    "figures": None if _is_hidden(line) else public_figures(line.counts, whole),
                }
                for name, line, rank in chosen
            ],
            "next": following,
        }
    )


def _is_hidden(line: Line) -> bool:
    return line.hidden and not line.shown


async def recount(session: AsyncSession) -> Recounted:
    """Compare every counter with the rows it stands for; tell, never repair."""
    rows = await list_differences(session, SHOWN_DIFFERENCES)
    found = [
        Difference(
            cell={key: str(row._mapping[key]) for key in KEYS},
            counted={m: row._mapping[f"counted_{m}"] for m in MEASURES},
            true={m: row._mapping[f"true_{m}"] for m in MEASURES},
        )
        for row in rows
    ]
    return Recounted(equal=not found, differences=found)
