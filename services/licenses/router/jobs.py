"""HTTP in and out of signing jobs, figures, and the clocks of a development system."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request

from services.licenses import timers
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
from shared import clock
from shared.errors import FieldError, InvalidInputError, NotFoundError
from shared.http.dependencies import ReadSession, Session
from shared.http.idempotency import IdempotentRoute, Once
from shared.security.auth import Administrator

router = APIRouter(route_class=IdempotentRoute)


@router.post("/signing-jobs", response_model=JobRead, status_code=202, dependencies=[Once])
async def start_job(command: SignCollected, session: Session, officer: Officer) -> Any:
    """签发 the department's collected licences; a worker does it, batch by batch."""
    return await jobs.start_job(session, command, officer, clock.now())


@router.get("/signing-jobs/{job_id}", response_model=JobRead)
async def get_job(job_id: UUID, session: ReadSession, officer: Officer) -> Any:
    """How far it has come."""
    job = await records.get_job(session, job_id)
    if (job.area_code, job.department_code) != (officer.area, officer.department):
        raise NotFoundError("no such job of yours")
    return job


@router.get("/statistics", response_model=StatisticsRead)
async def get_statistics(
    session: ReadSession,
    caller: Overseer,
    settings: Config,
    area_code: Annotated[str | None, Query(pattern="^[0-9]{12}$")] = None,
    department_code: Annotated[str | None, Query(max_length=40)] = None,
    type_code: Annotated[TypeCode | None, Query()] = None,
) -> Any:
    """Of the own department; supervisors: of their area; administrators and the city's supervisors: of all."""
    sees_areas = "administrator" in caller.roles or (
        "supervisor" in caller.roles and caller.area == settings.city_code
    )
    if not sees_areas:
        area_code = caller.area or ""
    if not sees_areas and "supervisor" not in caller.roles:
        department_code = caller.department or ""
    return await statistics.get_statistics(session, area_code, department_code, type_code)


@router.post("/development/timer-runs", response_model=TimerRan)
async def run_timers(command: TimerRun, request: Request, _administrator: Administrator) -> Any:
    """Run the timers once as if it were `as_of`; 404 in production."""
    if not request.app.state.settings.development:
        raise NotFoundError("only in development")
    if command.as_of.tzinfo is None:
        raise InvalidInputError(
            "the time has no zone", [FieldError("as_of", "offset", "send it with its offset")]
        )
    return await timers.run_all(request.app.state.database, command.as_of)
