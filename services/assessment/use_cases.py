"""What assessment can do: consume facts, show a day, publish it, correct it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import date, datetime
from uuid import UUID

import orjson
from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.assessment import queries
from services.assessment.model.base import IS_STOCK, Cell
from services.assessment.model.cases import CaseState
from services.assessment.model.facts import figures_of_event
from services.assessment.model.matters import MatterState
from services.assessment.model.ratings import RatingState
from services.assessment.model.reports import DailyReport
from services.assessment.schemas import CorrectReport, DailyReportRead
from shared import clock
from shared.database import audit
from shared.database.direct import Direct, NoRow, command
from shared.errors import ConflictError
from shared.events.assessment import DailyReportPublished
from shared.events.base import Event
from shared.events.cases import CaseEvent
from shared.events.matters import MatterEvent
from shared.events.ratings import RatingEvent
from shared.ids import new_id
from shared.messaging import outbox

State = CaseState | MatterState | RatingState


def _store_statement(table: str, *, key: str, state: type[State]) -> Direct[NoRow]:
    """Records and counters of a batch in one fixed statement.

    Composing SQL for each batch would cost more than running it. Rows are written in one order
    everywhere, so that two workers cannot wait for each other in a ring.
    """
    names = [field.name for field in fields(state)]
    columns = ", ".join(names)
    changes = ", ".join(f"{name} = excluded.{name}" for name in names if name != key)
    return command(
        f"WITH record AS (INSERT INTO {table} ({columns}) SELECT {columns}"
        f"  FROM jsonb_populate_recordset(CAST(NULL AS {table}), CAST(:rows AS jsonb))"
        f"  ORDER BY {key} ON CONFLICT ({key}) DO UPDATE SET {changes}),"
        " cell AS (SELECT * FROM unnest(CAST(:days AS date[]), CAST(:areas AS text[]),"
        "  CAST(:departments AS text[]), CAST(:measures AS text[]), CAST(:numbers AS bigint[]))"
        "  AS c (day, area_code, department_code, measure, value)),"
        " stock AS (INSERT INTO stock_total (area_code, department_code, measure, value)"
        f"  SELECT area_code, department_code, measure, sum(value) FROM cell WHERE {IS_STOCK}"
        "  GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        "  ON CONFLICT (area_code, department_code, measure)"
        "  DO UPDATE SET value = stock_total.value + excluded.value)"
        " INSERT INTO day_count (day, area_code, department_code, measure, value)"
        " SELECT day, area_code, department_code, measure, value FROM cell"
        " ON CONFLICT (day, area_code, department_code, measure)"
        " DO UPDATE SET value = day_count.value + excluded.value"
    )


STORE_CASES = _store_statement("case_record", key="case_id", state=CaseState)
STORE_MATTERS = _store_statement("matter_record", key="matter_id", state=MatterState)
STORE_RATINGS = _store_statement("rating_record", key="subject_id", state=RatingState)


async def count_cases(session: AsyncSession, events: Sequence[Event]) -> None:
    """Consume facts of the cases service, in order.

    Records change, and the counters get the difference between what a case counted for before and
    what it counts for now. So a repeated, late or corrected fact is never counted twice.
    """
    about_cases = [event for event in events if isinstance(event, CaseEvent)]
    before = await queries.lock_cases(session, sorted({event.case_id for event in about_cases}))
    after = dict(before)
    for event in about_cases:
        state = after.get(event.case_id) or CaseState.first(event)
        after[event.case_id] = state.after(event)
    changes = _difference(before, after)
    for event in events:
        changes.update(figures_of_event(event))
    # A repeated fact changes nothing: its record is not written again.
    changed = [state for case_id, state in after.items() if state != before.get(case_id)]
    await _store(session, STORE_CASES, states=changed, changes=changes)


def _difference(before: Mapping[UUID, CaseState], after: Mapping[UUID, CaseState]) -> Counter[Cell]:
    """What the cases count for now, less what they counted for before."""
    changes = Counter[Cell]()
    for case_id, state in after.items():
        changes.update(state.figures())
        earlier = before.get(case_id)
        if earlier is not None:
            changes.subtract(earlier.figures())
    return changes


async def count_matters(session: AsyncSession, events: Sequence[MatterEvent]) -> None:
    """Consume facts of the matters service, in order."""
    states = await queries.lock_matters(session, sorted({event.matter_id for event in events}))
    changes = Counter[Cell]()
    for event in events:
        state = states.get(event.matter_id) or MatterState.first(event)
        states[event.matter_id], change = state.after(event)
        changes.update(change)
    await _store(session, STORE_MATTERS, states=list(states.values()), changes=changes)


async def count_ratings(session: AsyncSession, events: Sequence[RatingEvent]) -> None:
    """Consume facts of the ratings service, in order."""
    states = await queries.lock_ratings(session, sorted({event.subject_id for event in events}))
    changes = Counter[Cell]()
    for event in events:
        state = states.get(event.subject_id) or RatingState.first(event)
        states[event.subject_id], change = state.after(event)
        changes.update(change)
    await _store(session, STORE_RATINGS, states=list(states.values()), changes=changes)


async def count_facts(session: AsyncSession, events: Sequence[Event]) -> None:
    """Consume facts that need no record."""
    changes = Counter[Cell]()
    for event in events:
        changes.update(figures_of_event(event))
    await _store(session, STORE_CASES, states=[], changes=changes)


async def _store(
    session: AsyncSession,
    statement: Direct[NoRow],
    *,
    states: Sequence[State],
    changes: Counter[Cell],
) -> None:
    # Sorted, so that two workers cannot wait for each other crosswise.
    cells = sorted((cell, number) for cell, number in changes.items() if number)
    if not states and not cells:
        return
    await statement.execute(
        session,
        # `default`: orjson does not know the driver's own UUID class.
        rows=orjson.dumps(states, default=str).decode(),
        days=[cell.day for cell, _ in cells],
        areas=[cell.area_code for cell, _ in cells],
        departments=[cell.department_code for cell, _ in cells],
        measures=[cell.measure for cell, _ in cells],
        numbers=[number for _, number in cells],
    )


async def show_report(session: AsyncSession, day: date, *, revision: int | None) -> DailyReportRead:
    """The day as published: the newest revision, or the one asked for."""
    return DailyReportRead.published(await queries.get_report(session, day, revision=revision))


async def show_figures(session: AsyncSession, day: date) -> DailyReportRead:
    """The present figures of a day, whatever was published of it."""
    return DailyReportRead.live(day, await queries.list_figures(session, day))


async def publish_report(
    session: AsyncSession, day: date, *, officer: str, now: datetime
) -> DailyReportRead:
    """Publish a day (日发布): its figures are frozen. Once only; a correction is a revision."""
    # Today itself may be published; a correction brings what comes after.
    if day > clock.local_date(now):
        raise ConflictError("{day} has not come yet", day=day)
    return await _freeze(session, day, officer=officer, now=now, reason=None)


async def correct_report(
    session: AsyncSession, day: date, *, command: CorrectReport, officer: str, now: datetime
) -> DailyReportRead:
    """A further revision of a published day from the present figures, with its reason.

    Earlier revisions stay as they were.
    """
    _ = await queries.get_report(session, day)
    return await _freeze(session, day, officer=officer, now=now, reason=command.reason)


async def _freeze(
    session: AsyncSession, day: date, *, officer: str, now: datetime, reason: str | None
) -> DailyReportRead:
    # One publication of a day at a time: a revision number must not be used twice.
    _ = await session.execute(func.pg_advisory_xact_lock(day.toordinal()).select())
    last = await queries.find_report(session, day)
    if last is not None and reason is None:
        raise ConflictError(
            "{day} is published already as revision {revision}; correct it with a reason",
            day=day,
            revision=last.revision,
        )
    revision = 1
    if last is not None:
        revision = last.revision + 1
    report = DailyReport(
        id=new_id(),
        day=day,
        revision=revision,
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
        object_type="daily_report",
        object_id=day,
        reason=reason,
        revision=report.revision,
    )
    return DailyReportRead.published(report)


async def store_report(session: AsyncSession, event: DailyReportPublished) -> None:
    """Store a report that was published before: a rebuilt database gets its reports back."""
    report = DailyReport.from_event(event)
    statement = insert(DailyReport).values(
        id=report.id,
        day=report.day,
        revision=report.revision,
        figures=report.figures,
        reason=report.reason,
        published_by=report.published_by,
        published_at=report.published_at,
    )
    # Its own fact comes back while the database is whole: then the report is there already.
    _ = await session.execute(statement.on_conflict_do_nothing())
