"""P11: rates of 好差评 of any department, channel and month at 1,000,000 ratings.

Also how their cost grows from 100,000, and the daily report at a year of cases.

Ratings, invitations and tickets are made inside PostgreSQL; their counters by the rule as SQL
(`queries.statistics.CELLS`), which is compared with the rule as Python (`model.statistics`) over
the rows of some departments' months. What is measured is the use case: the statements and the
making of the answer, without the way through the gateway.
"""

import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import uvloop
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from bench import proc
from bench.harness import Figure, Options, at_most, run, say, scratch
from bench.load import percentile
from deploy.postgres import EmbeddedPostgres
from services.assessment.model.base import STOCKS, Measure
from services.assessment.use_cases import show_figures as show_day
from services.ratings.invitations.model.invitation import Invitation
from services.ratings.rating.model.rating import Rating
from services.ratings.statistics.model.counts import (
    KEYS,
    MEASURES,
    Cell,
    Figures,
    RatingCount,
    cells_of_invitation,
    cells_of_rating,
)
from services.ratings.statistics.queries import CELLS, Dimension, Question
from services.ratings.statistics.use_cases import Slice, recount, show_figures, show_public_figures
from services.ratings.tickets.model.figures import figures
from services.ratings.tickets.model.ticket import Ticket
from shared.database import migrations
from shared.database.session import Database

PAGE = Slice(limit=50)
DATABASES = ("ratings", "ten_times_the_ratings")
AREAS, DEPARTMENTS, MATTERS, MONTHS = 9, 8, 20, 24
"""At 100,000 ratings a bureau has some sixty a month, as Lhasa's have.

At 1,000,000 it has ten times as many.
"""
YEAR, LAST = date(2025, 11, 1), date(2026, 10, 1)


def _dice(salt: str, sides: int) -> str:
    """A number below `sides` that follows from the row's number alone."""
    return f"((hashtext(n || '{salt}') & 2147483647) % {sides})"


ID = "lpad(to_hex(n), 32, '0')::uuid"
"""In order: a million random keys would take minutes to index."""
DAY = (
    f"(date '2024-11-01' + make_interval(months => {_dice('m', MONTHS)}, days => {_dice('d', 28)}))"
)
PLACE = f"'A' || {_dice('a', AREAS)}, 'D' || {_dice('p', DEPARTMENTS)}"
SERVICE = (
    f"'closing', 'N' || lpad(n::text, 9, '0'), 1, {PLACE}, 'M' || {_dice('k', MATTERS)}, 'x',"
    f" 'H' || {_dice('h', 5)}, 'W' || {_dice('w', 10)}"
)
COLUMNS = (
    "stage, case_number, service_number, area_code, department_code, matter_code, matter_name,"
    ' hall, "window"'
)
INVITATIONS = (
    f"INSERT INTO invitation (id, revision, token_hash, invited_at, open_until, {COLUMNS})"
    f" SELECT {ID}, 1, 'T' || lpad(n::text, 9, '0'), {DAY} + interval '4 hours', {DAY}, {SERVICE}"
    " FROM generate_series($1::int, $2::int) n"
)
RATINGS = (
    "INSERT INTO rating (id, invitation_id, revision, grade, tags, dictionary, contents, pf,"
    " sub_channel, real_name,"
    f" suspicions, supplements, rated_at, rated_on, {COLUMNS}) SELECT {ID}, {ID}, 1,"
    f" CASE WHEN {_dice('g', 100)} < 4 THEN 1 + {_dice('b', 2)} ELSE 3 + {_dice('b', 3)} END,"
    f" '{{}}', '2023', '{{}}', (1 + {_dice('c', 7)})::text, 'site', {_dice('r', 10)} > 0,"
    f" '{{}}', '[]', {DAY}, {DAY}, {SERVICE}"
    " FROM generate_series($1::int, $2::int) n"
)
TICKETS = (
    "INSERT INTO ticket (id, rating_id, revision, state, round, area_code, department_code, grade,"
    " real_name, opened_at, opened_on, callback_due_on, verify_due_on, rectify_due_on, attempts,"
    " explained, rectify_late, escalated, level, closed_on, called_back_on,"
    " rectified_on, satisfied)"
    f" SELECT {ID}, r.id, 1, 'closed', 1, r.area_code, r.department_code, r.grade,"
    " r.real_name, r.rated_at, r.rated_on, r.rated_on, r.rated_on, r.rated_on + 5, 1,"
    " false, false, '{}', 0, r.rated_on + 9, r.rated_on + 1,"
    f" r.rated_on + {_dice('f', 8)}, {_dice('s', 2)} = 0"
    f" FROM generate_series($1::int, $2::int) n JOIN rating r ON r.id = {ID} WHERE r.grade <= 2"
)
COUNTS = (
    f"INSERT INTO rating_count ({', '.join((*KEYS, *MEASURES))}) {CELLS} ORDER BY month, random()"
)
"""In the order of the months, as cells come to be."""


async def add_ratings(database: Database, first: int, last: int) -> None:
    """Ratings number `first` to `last`, and the counters of all there are."""
    connection = await database.connect()
    try:
        _ = await connection.execute(
            "SET statement_timeout = 0; SET synchronous_commit = off; SET work_mem = '256MB'"
        )
        for statement in (INVITATIONS, RATINGS, TICKETS):
            _ = await connection.execute(statement, first, last, timeout=300)
        _ = await connection.execute("TRUNCATE rating_count", timeout=60)
        _ = await connection.execute(COUNTS, timeout=300)
        _ = await connection.execute("VACUUM (ANALYZE, FREEZE) rating_count", timeout=300)
        _ = await connection.execute(
            "ANALYZE rating; ANALYZE invitation; ANALYZE ticket; CHECKPOINT", timeout=300
        )
    finally:
        await connection.close()


async def differing_months(database: Database, number: int) -> int:
    """Of `number` departments' months, how many counters differ from the rule as Python."""
    dice, wrong = random.Random(11), 0
    async with database.reading() as session:
        for _ in range(number):
            place = (f"A{dice.randrange(AREAS)}", f"D{dice.randrange(DEPARTMENTS)}")
            month = date(2025, 1 + dice.randrange(12), 1)
            counted = await session.scalars(
                select(RatingCount).where(
                    RatingCount.area_code == place[0],
                    RatingCount.department_code == place[1],
                    RatingCount.month == month,
                )
            )
            known = {Cell(*(getattr(row, key) for key in KEYS)): row for row in counted}
            truth = await _truth(session, place, month)
            same = truth.keys() == known.keys() and all(
                getattr(known[cell], measure) == counts[measure]
                for cell, counts in truth.items()
                for measure in MEASURES
            )
            wrong += not same
    return wrong


async def _truth(session: AsyncSession, place: tuple[str, str], month: date) -> dict[Cell, Figures]:
    cells: dict[Cell, Figures] = {}
    rated = (
        select(Rating, Ticket)
        .outerjoin(Ticket, Ticket.rating_id == Rating.id)
        .where(Rating.area_code == place[0], Rating.department_code == place[1])
        .where(text("date_trunc('month', rated_on) = :month").bindparams(month=month))
    )
    for rating, ticket in await session.execute(rated):
        for cell in cells_of_rating(rating):
            cells.setdefault(cell, Counter()).update(figures(rating, ticket, appeal=None))
    invited = select(Invitation).where(
        Invitation.area_code == place[0],
        Invitation.department_code == place[1],
        text("date_trunc('month', invited_at AT TIME ZONE 'Asia/Shanghai') = :month").bindparams(
            month=month
        ),
    )
    for invitation in await session.scalars(invited):
        for cell in cells_of_invitation(invitation):
            cells.setdefault(cell, Counter())["invited"] += 1
    return cells


def questions(dice: random.Random) -> dict[str, Question]:
    """One of every kind, about a place and month at random."""
    month = date(2025 + dice.randrange(2), 1 + dice.randrange(10), 1)
    area: tuple[Dimension, str] = ("area", f"A{dice.randrange(AREAS)}")
    department: tuple[Dimension, str] = ("department", f"D{dice.randrange(DEPARTMENTS)}")
    channel: tuple[Dimension, str] = ("channel", str(1 + dice.randrange(7)))
    return {
        "a department in a month": Question(month, month, (), (area, department)),
        "a department by channel in a month": Question(
            month, month, ("channel",), (area, department)
        ),
        "a department by month, a year": Question(YEAR, LAST, ("month",), (area, department)),
        "a department by matter in a month": Question(
            month, month, ("matter",), (area, department)
        ),
        "a channel in a month, all departments": Question(
            month, month, ("department",), (channel,)
        ),
        "all departments in a month": Question(month, month, ("area", "department"), ()),
        "an area by department, a year": Question(YEAR, LAST, ("department",), (area,)),
    }


Show = Callable[..., Awaitable[object]]


@dataclass(slots=True)
class Taken:
    """Milliseconds of every answer, and CPU seconds of all answers here and in PostgreSQL."""

    times: list[float] = field(default_factory=list[float])
    spent: float = 0.0

    @property
    def cpu(self) -> float:
        """CPU milliseconds of an answer."""
        return self.spent / len(self.times) * 1000

    def percentile(self, share: float) -> float:
        return percentile(self.times, share)


TURN = 25
"""Questions to one database before the other one is asked.

The machine's pace changes from minute to minute.
"""


async def _times(
    postgres: EmbeddedPostgres, databases: Sequence[Database], show: Show, turns: int
) -> list[dict[str, Taken]]:
    """What every kind of question took, for each of the databases, asked in turn."""
    found: list[dict[str, Taken]] = [{} for _ in databases]
    for name in questions(random.Random(7)):
        for database, taken in zip(databases, found, strict=True):
            _ = [await _ask(database, show, questions(random.Random(n))[name]) for n in range(5)]
            taken[name] = Taken()
        for turn in range(turns):
            asked = [questions(random.Random(turn * TURN + n))[name] for n in range(TURN)]
            for database, taken in zip(databases, found, strict=True):
                before = _cpu(postgres)
                taken[name].times += [await _ask(database, show, question) for question in asked]
                taken[name].spent += _cpu(postgres) - before
    return found


async def _ask(database: Database, show: Show, question: Question) -> float:
    started = time.perf_counter()
    async with database.reading() as session:
        _ = await show(session, question, least=30, part=PAGE)
    return (time.perf_counter() - started) * 1000


def _cpu(postgres: EmbeddedPostgres) -> float:
    return time.process_time() + proc.cpu_seconds(postgres.postmaster())


async def _measured(postgres: EmbeddedPostgres, options: Options) -> Sequence[Figure]:
    sizes, turns, databases = (
        options.pick((100_000, 1_000_000), (2_000, 5_000)),
        options.pick(8, 1),
        list[Database](),
    )
    try:
        for name, number in zip(DATABASES, sizes, strict=True):
            dsn = postgres.dsn(name)
            _ = await migrations.run_on(dsn, migrations.upgrade, "ratings")
            databases.append(Database(dsn, data_key=b"b" * 32, pool_size=2))
            say(f"adding {number:,} ratings")
            await add_ratings(databases[-1], 1, number)
        small, large = await _times(postgres, databases, show_figures, turns)
        database = databases[-1]
        (public,) = await _times(postgres, [database], show_public_figures, turns // 2 or 1)
        wrong = await differing_months(database, options.pick(5, 3))
        async with database.transaction() as session:
            started = time.perf_counter()
            compared = await recount(session)
            seconds = time.perf_counter() - started
        assert compared.equal
    finally:
        for database in databases:
            await database.close()
    return [
        *(
            at_most(f"p95: {name}", taken.percentile(0.95), "ms", 30, 10)
            for name, taken in large.items()
        ),
        *(Figure(f"p50: {name}", taken.percentile(0.5), "ms") for name, taken in large.items()),
        *(Figure(f"CPU: {name}", taken.cpu, "ms") for name, taken in large.items()),
        *(
            Figure(f"public, p95: {name}", taken.percentile(0.95), "ms")
            for name, taken in public.items()
        ),
        *(Figure(f"public, CPU: {name}", taken.cpu, "ms") for name, taken in public.items()),
        *(
            at_most(
                f"CPU at 10 × the data: {name}", large[name].cpu / small[name].cpu, "×", 1.3, 1.1
            )
            for name in small
        ),
        at_most("departments' months whose counters differ", wrong, "", 0, 0),
        Figure(f"recount of all {sizes[1]:,} ratings", seconds, "s"),
    ]


DAYS = (
    "INSERT INTO day_count (day, area_code, department_code, measure, value)"
    " SELECT date '2026-11-27' - d, 'A' || n % 9, 'D' || n, m, 1 + (n * 7 + d) % 30"
    " FROM generate_series(0, $1::int - 1) d, generate_series(1, 225) n, unnest($2::text[]) m"
    " ORDER BY d DESC, random()"
)
"""A year of 225 departments in every measure, day after day.

That is about as many cases as the report covers.
"""

TOTALS = (
    "INSERT INTO stock_total (area_code, department_code, measure, value)"
    " SELECT area_code, department_code, measure, sum(value)"
    " FROM day_count WHERE measure = ANY ($1::text[]) GROUP BY 1, 2, 3"
)


async def _daily(postgres: EmbeddedPostgres, options: Options) -> Sequence[Figure]:
    """The daily report, live, of any of the last ten days of a year, as the use case makes it."""
    dsn, days, rounds = postgres.dsn("assessment"), options.pick(365, 10), options.pick(100, 5)
    _ = await migrations.run_on(dsn, migrations.upgrade, "assessment")
    database, times, choose = (
        Database(dsn, data_key=b"b" * 32, pool_size=2),
        list[float](),
        random.Random(11),
    )
    try:
        connection = await database.connect()
        _ = await connection.execute("SET statement_timeout = 0")
        _ = await connection.execute(
            DAYS, days, [measure.value for measure in Measure], timeout=300
        )
        _ = await connection.execute(TOTALS, list(STOCKS), timeout=300)
        cases = await connection.fetchval(
            "SELECT sum(value)::bigint FROM day_count WHERE measure = 'cases_received'"
        )
        _ = await connection.execute("VACUUM ANALYZE day_count", timeout=300)
        await connection.close()
        for number in range(rounds + 5):
            day = date(2026, 11, 27) - timedelta(days=choose.randrange(10))
            started = time.perf_counter()
            async with database.reading() as session:
                _ = await show_day(session, day)
            if number >= 5:
                times.append((time.perf_counter() - started) * 1000)
    finally:
        await database.close()
    return [
        at_most(
            "p95: daily report, live, of one of ten days", percentile(times, 0.95), "ms", 30, 10
        ),
        Figure("p50: daily report, live, of one of ten days", percentile(times, 0.5), "ms"),
        Figure("cases received in that year", cases, ""),
    ]


def measure(options: Options) -> Sequence[Figure]:
    with scratch() as folder, EmbeddedPostgres(folder / "postgres") as postgres:
        postgres.create_databases([*DATABASES, "assessment"])
        return [*uvloop.run(_measured(postgres, options)), *uvloop.run(_daily(postgres, options))]


if __name__ == "__main__":
    run("P11", "rates of any department, channel, month at 1,000,000 ratings", measure)
