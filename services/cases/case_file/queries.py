"""Every SELECT of cases."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import LargeBinary, bindparam, select, text, tuple_, type_coerce
from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.case_file.model.case import Case
from services.cases.case_file.model.enums import (
    ApplicantKind,
    CaseResult,
    Channel,
    SpecialProcedure,
)
from services.cases.case_file.model.materials import CorrectionItem, StoredMaterial
from services.cases.case_file.model.states import IS_OPEN, State
from services.cases.case_file.model.timeline import TimelineRow
from services.cases.case_file.model.tracking import TrackingTries
from shared.database.calendar import NEWEST_VERSION
from shared.database.direct import Direct
from shared.database.guess_limits import Guess, LimitedLookup
from shared.errors import NotFoundError

BULKY = (Case.guide, Case.materials, Case.missing)
SECRET = (Case.applicant_name, Case.applicant_id_number, Case.phone)
"""With `BULKY`, what batches over many cases leave out: they do not need it, and to decrypt a value
costs more than to read the row."""


class CaseRow(NamedTuple):
    """A case as answers show it, with the version of the calendar at that moment."""

    id: UUID
    number: str
    revision: int
    state: State
    area_code: str
    department_code: str
    matter_id: UUID
    matter_name: str
    immediate: bool
    promised_days: int
    channel: Channel
    account_id: UUID | None
    applicant_kind: ApplicantKind
    applicant_name: str
    applicant_id_number: str
    phone: str
    guide_digest: str
    materials: list[StoredMaterial]
    missing: list[CorrectionItem]
    received_at: datetime
    accepted_on: date | None
    due_on: date
    legal_due_on: date | None
    step_due_on: date | None
    gap_due_on: date | None
    deemed: bool
    suspension: SpecialProcedure | None
    suspended_on: date | None
    extended_days: int
    result: CaseResult | None
    reasons: str | None
    overdue: bool
    bundle_case_id: UUID | None
    calendar: UUID


CASE_ROW = (
    Case.id,
    Case.number,
    Case.revision,
    Case.state,
    Case.area_code,
    Case.department_code,
    Case.matter_id,
    Case.matter_name,
    Case.immediate,
    Case.promised_days,
    Case.channel,
    Case.account_id,
    Case.applicant_kind,
    Case.applicant_name,
    Case.applicant_id_number,
    Case.phone,
    Case.guide_digest,
    Case.materials,
    Case.missing,
    Case.received_at,
    Case.accepted_on,
    Case.due_on,
    Case.legal_due_on,
    Case.step_due_on,
    Case.gap_due_on,
    Case.deemed,
    Case.suspension,
    Case.suspended_on,
    Case.extended_days,
    Case.result,
    Case.reasons,
    Case.overdue,
    Case.bundle_case_id,
    NEWEST_VERSION.label("calendar"),
)
"""The columns of `CaseRow`."""
READ = Direct(select(*CASE_ROW).where(Case.id == bindparam("case_id")), CaseRow)


class CaseSummaryRow(NamedTuple):
    """A case in a list."""

    id: UUID
    number: str
    revision: int
    state: State
    matter_name: str
    due_on: date
    received_at: datetime
    overdue: bool
    bundle_case_id: UUID | None


CASE_SUMMARY_ROW = (
    Case.id,
    Case.number,
    Case.revision,
    Case.state,
    Case.matter_name,
    Case.due_on,
    Case.received_at,
    Case.overdue,
    Case.bundle_case_id,
)
"""The columns of `CaseSummaryRow`."""


async def get_case(session: AsyncSession, case_id: UUID, *, lock: bool = False) -> Case:
    """The case as an entity, locked for a change if asked for."""
    case = await session.get(Case, case_id, with_for_update=lock)
    if case is None:
        raise NotFoundError("no such case of yours")
    return case


async def read_case(session: AsyncSession, case_id: UUID) -> CaseRow:
    """One case as answers show it, in one statement."""
    row = await READ.first(session, case_id=case_id)
    if row is None:
        raise NotFoundError("no such case of yours")
    return row


class TrackedRow(NamedTuple):
    """What tracking shows of a case; the phone is still encrypted."""

    number: str
    state: State
    matter_name: str
    due_on: date
    sealed_phone: bytes


TRACKED = LimitedLookup(
    select(
        Case.number,
        Case.state,
        Case.matter_name,
        Case.due_on,
        type_coerce(Case.phone, LargeBinary).label("sealed_phone"),
    ).where(Case.number == bindparam("number")),
    TrackingTries,
    row=TrackedRow,
)


async def find_tracked(session: AsyncSession, attempt: Guess) -> TrackedRow | None:
    """The case with this number. The look-up counts as an attempt.

    Raises `TooManyRequestsError` when the limit of attempts is reached.
    """
    rows = await TRACKED.find(session, attempt, number=attempt.number)
    return rows[0] if rows else None


async def list_own(
    session: AsyncSession,
    account_id: UUID,
    *,
    matters: frozenset[str] | None,
    after: UUID,
    limit: int,
) -> list[CaseSummaryRow]:
    """Cases of an account, all or those in `matters` (ids); one more than `limit`."""
    statement = select(*CASE_SUMMARY_ROW).where(Case.account_id == account_id, Case.id > after)
    if matters is not None:
        statement = statement.where(Case.matter_id.in_([UUID(matter) for matter in matters]))
    rows = await session.execute(statement.order_by(Case.id).limit(limit + 1))
    return [CaseSummaryRow(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class WorkFilter:
    """Which of a department's open cases an officer asks for.

    `officer`: only those on which this one acted last. `overdue_on`: only those whose clock had run
    out by that day.
    """

    state: State | None = None
    officer: str | None = None
    due_before: date | None = None
    overdue_on: date | None = None


async def list_work(
    session: AsyncSession,
    work_filter: WorkFilter,
    *,
    area_code: str,
    department_code: str,
    after: tuple[date, UUID],
    limit: int,
) -> list[CaseSummaryRow]:
    """Open cases of a department, the most urgent first; one more than `limit`."""
    statement = select(*CASE_SUMMARY_ROW).where(
        Case.area_code == area_code,
        Case.department_code == department_code,
        text(IS_OPEN),
        tuple_(Case.due_on, Case.id) > tuple_(*after),
    )
    if work_filter.state is not None:
        statement = statement.where(Case.state == work_filter.state)
    if work_filter.officer is not None:
        statement = statement.where(Case.officer == work_filter.officer)
    if work_filter.due_before is not None:
        statement = statement.where(Case.due_on < work_filter.due_before)
    if work_filter.overdue_on is not None:
        is_overdue = Case.due_on < work_filter.overdue_on
        statement = statement.where(is_overdue, Case.state != State.SUSPENDED)
    rows = await session.execute(statement.order_by(Case.due_on, Case.id).limit(limit + 1))
    return [CaseSummaryRow(*row) for row in rows]


async def list_steps(session: AsyncSession, case_id: UUID) -> Sequence[TimelineRow]:
    """The timeline of a case, in its order."""
    statement = select(TimelineRow).where(TimelineRow.case_id == case_id).order_by(TimelineRow.id)
    return (await session.scalars(statement)).all()
