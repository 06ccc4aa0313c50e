"""What assessment can do: take in facts, show a day, publish it, correct it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from datetime import date, datetime
from typing import Any

from sqlalchemy import Table, func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.assessment import queries
from services.assessment.model import (
    CaseRecord,
    CaseState,
    Cell,
    DailyReport,
    DayCount,
    MatterRecord,
    MatterState,
    figures_of_event,
    first_state,
)
from services.assessment.schemas import CorrectReport, DailyReportRead
from shared import audit, clock, outbox
from shared.errors import ConflictError
from shared.events import Event
from shared.events.assessment import DailyReportPublished
from shared.events.cases import CaseEvent
from shared.events.matters import MatterEvent
from shared.ids import new_id

CHUNK = 1000
"""Rows per statement: PostgreSQL takes at most 32,767 parameters."""


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
    await _store(session, CaseRecord, "case_id", [s for i, s in after.items() if s != before.get(i)])
    await _add(session, changes)


async def count_matters(session: AsyncSession, events: Sequence[MatterEvent]) -> None:
    """Take in facts of the matters service, in order."""
    known = await queries.find_matters(session, sorted({event.matter_id for event in events}))
    changes = Counter[Cell]()
    for event in events:
        state = known.get(event.matter_id) or MatterState(event.matter_id, event.area_code, event.department_code)
        known[event.matter_id], change = state.after(event)
        changes.update(change)
    await _store(session, MatterRecord, "matter_id", list(known.values()))
    await _add(session, changes)


async def _store(session: AsyncSession, table: Any, key: str, states: Sequence[CaseState | MatterState]) -> None:
    for chunk in _chunks(sorted(states, key=lambda state: getattr(state, key))):
        statement = insert(table).values([asdict(state) for state in chunk])
        others = [field.name for field in fields(chunk[0]) if field.name != key]
        update = {name: getattr(statement.excluded, name) for name in others}
        _ = await session.execute(statement.on_conflict_do_update(index_elements=[key], set_=update))


async def _add(session: AsyncSession, changes: Counter[Cell]) -> None:
    """Add to the counters, in one order everywhere."""
    names = ("day", "area_code", "department_code", "measure")
    cells = [
        {**dict(zip(names, cell, strict=True)), "value": number} for cell, number in sorted(changes.items()) if number
    ]
    table: Table = DayCount.__table__  # pyright: ignore[reportAssignmentType]
    for chunk in _chunks(cells):
        statement = insert(table).values(list(chunk))
        total = table.c.value + statement.excluded.value
        _ = await session.execute(statement.on_conflict_do_update(index_elements=list(names), set_={"value": total}))


def _chunks(rows: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK))


async def show_report(session: AsyncSession, day: date, revision: int | None, *, live: bool) -> DailyReportRead:
    """The day as published; for staff (`live`) the present figures while it is not."""
    report = await queries.find_report(session, day, revision)
    if report is None and live and revision is None:
        return DailyReportRead.live(day, await queries.list_figures(session, day))
    return DailyReportRead.published(report or await queries.get_report(session, day, revision))


async def publish_report(session: AsyncSession, day: date, officer: str, now: datetime) -> DailyReportRead:
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
        raise ConflictError(f"{day} is published already as revision {last.revision}; correct it with a reason")
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
    audit.record(session, "daily-report.publish", "daily_report", day, reason=reason, revision=report.revision)
    return DailyReportRead.published(report)


async def keep_report(session: AsyncSession, event: DailyReportPublished) -> None:
    """What was published stays published: a rebuilt database gets its reports back as they were."""
    report = DailyReport.from_event(event)
    values = {column.name: getattr(report, column.name) for column in DailyReport.__table__.columns}
    _ = await session.execute(insert(DailyReport).values(values).on_conflict_do_nothing())
