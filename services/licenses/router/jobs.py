"""HTTP in and out of signing jobs, statistics, and the timers of a development system."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from services.licenses import timers
from services.licenses.model.records import SigningJob
from services.licenses.model.types import TypeCode
from services.licenses.queries import records
from services.licenses.router.access import Config, Officer, Overseer
from services.licenses.schemas.jobs import (
    JobRead,
    SignCollected,
    StatisticsRead,
    TimerRan,
    TimerRun,
)
from services.licenses.use_cases import jobs, statistics
from shared.errors import FieldError, InvalidInputError, NotFoundError
from shared.http.dependencies import Db, Now, ReadSession, Session
from shared.http.idempotency import IdempotentRoute, Once
from shared.security.auth import Administrator

router = APIRouter(route_class=IdempotentRoute)


def _show(job: SigningJob) -> JobRead:
    return JobRead(
        id=job.id,
        type_code=job.type_code,
        total=job.total,
        done=job.done,
        failed=job.failed,
        created_at=job.created_at,
        finished_at=job.finished_at,
    )


@router.post("/signing-jobs", status_code=202, dependencies=[Once])
async def start_job(
    command: SignCollected, session: Session, officer: Officer, now: Now
) -> JobRead:
    """签发 the department's collected licenses; a worker does it, batch by batch."""
    return _show(await jobs.start_job(session, command, caller=officer, now=now))


@router.get("/signing-jobs/{job_id}")
async def get_job(job_id: UUID, session: ReadSession, officer: Officer) -> JobRead:
    """How far it has come."""
    job = await records.get_job(session, job_id)
    if (job.area_code, job.department_code) != (officer.area, officer.department):
        raise NotFoundError("no such job of yours")
    return _show(job)


@router.get("/statistics")
async def get_statistics(
    *,
    session: ReadSession,
    caller: Overseer,
    settings: Config,
    area_code: Annotated[str | None, Query(pattern="^[0-9]{12}$")] = None,
    department_code: Annotated[str | None, Query(max_length=40)] = None,
    type_code: Annotated[TypeCode | None, Query()] = None,
) -> StatisticsRead:
    """Staff see their own department, supervisors their area.

    Administrators and the city's supervisors see all.
    """
    is_supervisor = "supervisor" in caller.roles
    is_city_supervisor = is_supervisor and caller.area == settings.city.code
    if "administrator" not in caller.roles and not is_city_supervisor:
        area_code = caller.area or ""
        if not is_supervisor:
            department_code = caller.department or ""
    return await statistics.get_statistics(
        session, area=area_code, department=department_code, type_code=type_code
    )


@router.post("/development/timer-runs")
async def run_timers(
    command: TimerRun, database: Db, settings: Config, _administrator: Administrator
) -> TimerRan:
    """Run the timers once as if it were `as_of`; 404 in production."""
    if not settings.development:
        raise NotFoundError("only in development")
    if command.as_of.tzinfo is None:
        raise InvalidInputError(
            "the time has no zone",
            [FieldError("as_of", "offset", message="send it with its offset")],
        )
    ran = await timers.run_all(database, command.as_of)
    return TimerRan(expired=ran.expired, signed=ran.signed)
