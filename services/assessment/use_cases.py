"""What assessment can do: take in facts, show a day, publish it, correct it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from datetime import date, datetime

import orjson
from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.assessment import queries
from services.assessment.model.base import IS_STOCK, Cell
from services.assessment.model.cases import CaseState, first_state
from services.assessment.model.facts import figures_of_event
from services.assessment.model.matters import MatterState
from services.assessment.model.ratings import RatingState
from services.assessment.model.reports import DailyReport
from services.assessment.schemas import CorrectReport, DailyReportRead
from shared import clock
from shared.database import audit
from shared.database.direct import UntypedDirect
from shared.errors import ConflictError
from shared.events.assessment import DailyReportPublished
from shared.events.base import Event
from shared.events.cases import CaseEvent
from shared.events.matters import MatterEvent
from shared.events.ratings import RatingEvent
from shared.ids import new_id
from shared.messaging import outbox

State = CaseState | MatterState | RatingState


def _keep(table: str, key: str, record: type[State]) -> UntypedDirect:
    """Records and counters of a batch in one fixed statement: composing SQL anew would cost more than running it.

    Both are written in one order everywhere, so that two workers cannot wait for each other in a ring.
    """
    names = [field.name for field in fields(record)]
    changes = ", ".join(f"{name} = excluded.{name}" for name in names if name != key)
    return UntypedDirect(
        f"WITH kept AS (INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(names)}"
        f" FROM jsonb_populate_recordset(CAST(NULL AS {table}), CAST(:rows AS jsonb))"
        f" ORDER BY {key} ON CONFLICT ({key}) DO UPDATE SET {changes}),"
        " cell AS (SELECT * FROM unnest(CAST(:days AS date[]), CAST(:areas AS text[]), CAST(:departments AS text[]),"
        "  CAST(:measures AS text[]), CAST(:numbers AS bigint[])) AS c (day, area_code, department_code, measure, value)),"
        " stock AS (INSERT INTO stock_total (area_code, department_code, measure, value)"
        f"  SELECT area_code, department_code, measure, sum(value) FROM cell WHERE {IS_STOCK}"
        "  GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        "  ON CONFLICT (area_code, department_code, measure) DO UPDATE SET value = stock_total.value + excluded.value)"
        " INSERT INTO day_count (day, area_code, department_code, measure, value)"
        " SELECT day, area_code, department_code, measure, value FROM cell"
        " ON CONFLICT (day, area_code, department_code, measure) DO UPDATE SET value = day_count.value + excluded.value"
    )


KEEP_CASES = _keep("case_record", "case_id", CaseState)
KEEP_MATTERS = _keep("matter_record", "matter_id", MatterState)
KEEP_RATINGS = _keep("rating_record", "subject_id", RatingState)
COLUMNS = ("days", "areas", "departments", "measures", "numbers")


async def count_cases(session: AsyncSession, events: Sequence[Event]) -> None:
    """Take in facts of the cases service, in order: records change, counters get the difference."""
    about = [event for event in events if isinstance(event, CaseEvent)]
    before = await queries.find_cases(session, sorted({event.case_id for event in about}))
    after = dict(before)
    for event in about:
        after[event.case_id] = after.get(event.case_id, first_state(event)).after(event)
    changes = Counter[Cell]()
    for case_id, state in after.items():
        changes.update(state.figures())
        if case_id in before:
            changes.subtract(before[case_id].figures())
    for event in events:
        changes.update(figures_of_event(event))
    changed = [state for case_id, state in after.items() if state != before.get(case_id)]
    await _store(session, KEEP_CASES, changed, changes)


async def count_matters(session: AsyncSession, events: Sequence[MatterEvent]) -> None:
    """Take in facts of the matters service, in order."""
    known = await queries.find_matters(session, sorted({event.matter_id for event in events}))
    changes = Counter[Cell]()
    for event in events:
        state = known.get(event.matter_id) or MatterState(
            event.matter_id, event.area_code, event.department_code
        )
        known[event.matter_id], change = state.after(event)
        changes.update(change)
    await _store(session, KEEP_MATTERS, list(known.values()), changes)


async def count_ratings(session: AsyncSession, events: Sequence[RatingEvent]) -> None:
    """Take in facts of the ratings service, in order."""
    known = await queries.find_ratings(session, sorted({event.subject_id for event in events}))
    changes = Counter[Cell]()
    for event in events:
        state = known.get(event.subject_id) or RatingState(
            event.subject_id, event.area_code, event.department_code
        )
        known[event.subject_id], change = state.after(event)
        changes.update(change)
    await _store(session, KEEP_RATINGS, list(known.values()), changes)


async def count_facts(session: AsyncSession, events: Sequence[Event]) -> None:
    """Take in facts that need no record."""
    changes = Counter[Cell]()
    for event in events:
        changes.update(figures_of_event(event))
    await _store(session, KEEP_CASES, [], changes)


async def _store(
    session: AsyncSession, statement: UntypedDirect, states: Sequence[State], changes: Counter[Cell]
) -> None:
    cells = sorted((*cell, number) for cell, number in changes.items() if number)
    if states or cells:
        counted = {name: [cell[place] for cell in cells] for place, name in enumerate(COLUMNS)}
        # The driver's own UUID class is unknown to orjson.
        _ = await statement.fetch(
            session, rows=orjson.dumps(states, default=str).decode(), **counted
        )


async def show_report(session: AsyncSession, day: date, revision: int | None) -> DailyReportRead:
    """The day as published: the newest revision, or the one asked for."""
    return DailyReportRead.published(await queries.get_report(session, day, revision))


async def show_figures(session: AsyncSession, day: date) -> DailyReportRead:
    """The present figures of a day, whatever was published of it."""
    return DailyReportRead.live(day, await queries.list_figures(session, day))


async def publish_report(
    session: AsyncSession, day: date, officer: str, now: datetime
) -> DailyReportRead:
    """日发布: freeze the day's figures. Once only; a correction is a revision."""
    if day > clock.local_date(now):
        raise ConflictError(f"{day} has not come yet")
    return await _freeze(session, day, officer, now, reason=None)


async def correct_report(
    session: AsyncSession, day: date, command: CorrectReport, officer: str, now: datetime
) -> DailyReportRead:
    """A further revision of a published day from the present figures, with its reason; earlier ones stay as they were."""
    _ = await queries.get_report(session, day)
    return await _freeze(session, day, officer, now, reason=command.reason)


async def _freeze(
    session: AsyncSession, day: date, officer: str, now: datetime, *, reason: str | None
) -> DailyReportRead:
    # One publication of a day at a time: the revision number must not be taken twice.
    _ = await session.execute(func.pg_advisory_xact_lock(day.toordinal()).select())
    last = await queries.find_report(session, day)
    if last is not None and reason is None:
        raise ConflictError(
            f"{day} is published already as revision {last.revision}; correct it with a reason"
        )
    report = DailyReport(
        id=new_id(),
        day=day,
        revision=last.revision + 1 if last else 1,
        figures=await queries.list_figures(session, day),
        reason=reason,
        published_by=officer,
        published_at=now,
    )
    session.add(report)
    outbox.add(session, report.published())
    audit.record(
        session,
        "daily-report.publish",
        "daily_report",
        day,
        reason=reason,
        revision=report.revision,
    )
    return DailyReportRead.published(report)


async def keep_report(session: AsyncSession, event: DailyReportPublished) -> None:
    """What was published stays published: a rebuilt database gets its reports back as they were."""
    report = DailyReport.from_event(event)
    values = {column.name: getattr(report, column.name) for column in DailyReport.__table__.columns}
    _ = await session.execute(insert(DailyReport).values(values).on_conflict_do_nothing())
