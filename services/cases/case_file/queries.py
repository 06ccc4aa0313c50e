"""Every SELECT of cases."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import LargeBinary, bindparam, select, text, tuple_, type_coerce
from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.calendar.queries import NEWEST
from services.cases.case_file.model.case import Case
from services.cases.case_file.model.states import IS_OPEN, State
from services.cases.case_file.model.timeline import TimelineRow
from services.cases.case_file.model.tracking import TrackingTries
from shared.database import guess_limits
from shared.database.direct import UntypedDirect
from shared.database.guess_limits import Try
from shared.errors import NotFoundError

CASE: Any = Case.__table__.c
READ = UntypedDirect(
    select(
        *(column for column in CASE if column.key not in {"guide", "applicant_id_hash"}),
        select(NEWEST).scalar_subquery().label("calendar"),
    ).where(CASE.id == bindparam("case_id"))
)
"""What an answer shows of a case, read in one statement and without the bulky rest."""
BULKY = (Case.guide, Case.materials, Case.missing)
SECRET = (Case.applicant_name, Case.applicant_id_number, Case.phone)
"""What batches over many cases leave out: no act of theirs reads it, and opening a secret costs more than the row."""
SUMMARY = (
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


async def get_case(session: AsyncSession, case_id: UUID, *, lock: bool = False) -> Case:
    case = await session.get(Case, case_id, with_for_update=lock)
    if case is None:
        raise NotFoundError("no such case of yours")
    return case


async def read_case(session: AsyncSession, case_id: UUID) -> Any:
    """One case as answers show it, with the calendar's version."""
    row = await READ.first(session, case_id=case_id)
    if row is None:
        raise NotFoundError("no such case of yours")
    return row


TRACKED = guess_limits.counting(
    select(
        CASE.number,
        CASE.state,
        CASE.matter_name,
        CASE.due_on,
        type_coerce(CASE.phone, LargeBinary).label("sealed_phone"),
    ).where(CASE.number == bindparam("number")),
    TrackingTries,
)


async def find_tracked(session: AsyncSession, one: Try) -> Any:
    """What tracking shows of a case, and its phone still sealed. It counts as a try; 429 when the budget is used up."""
    return next(iter(await guess_limits.ask(session, TRACKED, one, number=one.number)), None)


async def list_own(
    session: AsyncSession, account_id: UUID, matters: frozenset[str] | None, after: UUID, limit: int
) -> Sequence[Any]:
    """Cases of an account, all or those in `matters` (ids)."""
    statement = (
        select(*SUMMARY).where(Case.account_id == account_id, Case.id > after).order_by(Case.id)
    )
    if matters is not None:
        statement = statement.where(Case.matter_id.in_([UUID(one) for one in matters]))
    return (await session.execute(statement.limit(limit + 1))).all()


@dataclass(frozen=True, slots=True)
class WorkFilter:
    """What of a department's work an officer asks for; `officer`: only what this one acted on last."""

    state: State | None = None
    officer: str | None = None
    due_before: date | None = None
    overdue_on: date | None = None


async def list_work(
    session: AsyncSession,
    place: tuple[str, str],
    which: WorkFilter,
    after: tuple[date, UUID],
    limit: int,
) -> Sequence[Any]:
    """Open cases of a department, the most urgent first."""
    statement = select(*SUMMARY).where(
        Case.area_code == place[0],
        Case.department_code == place[1],
        text(IS_OPEN),
        tuple_(Case.due_on, Case.id) > tuple_(*after),
    )
    if which.state is not None:
        statement = statement.where(Case.state == which.state)
    if which.officer is not None:
        statement = statement.where(Case.officer == which.officer)
    if which.due_before is not None:
        statement = statement.where(Case.due_on < which.due_before)
    if which.overdue_on is not None:
        statement = statement.where(Case.due_on < which.overdue_on, Case.state != State.SUSPENDED)
    return (await session.execute(statement.order_by(Case.due_on, Case.id).limit(limit + 1))).all()


async def list_steps(session: AsyncSession, case_id: UUID) -> Sequence[TimelineRow]:
    return (
        await session.scalars(
            select(TimelineRow).where(TimelineRow.case_id == case_id).order_by(TimelineRow.id)
        )
    ).all()
