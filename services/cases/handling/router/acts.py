"""HTTP in and out of the acts on a case, in the order of its life."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response

from services.cases.access import Approver, At, Clerk, Config, Deliverer, Handler, Head, Leader
from services.cases.case_file.schemas import CaseRead
from services.cases.case_file.views import read_case
from services.cases.handling.schemas import (
    Correct,
    Decide,
    Deliver,
    ExtendTime,
    RefuseAcceptance,
    RequestCorrection,
    Review,
    SuspendCase,
)
from services.cases.handling.use_cases import acts
from shared.http.dependencies import Session
from shared.http.etags import IfMatch
from shared.security.auth import CurrentCaller

router = APIRouter()


@router.post("/files/{case_id}/acceptance", response_model=CaseRead)
async def accept_case(
    case_id: UUID, session: Session, clerk: Clerk, expected: IfMatch, at: At, response: Response
) -> Any:
    """受理."""
    return read_case(
        await acts.accept_case(session, case_id, expected, clerk, at), clerk, response, at.calendar
    )


@router.post("/files/{case_id}/non-acceptance", response_model=CaseRead)
async def refuse_acceptance(
    case_id: UUID,
    command: RefuseAcceptance,
    session: Session,
    clerk: Clerk,
    expected: IfMatch,
    at: At,
    response: Response,
) -> Any:
    """不予受理, with reasons."""
    case = await acts.refuse_acceptance(session, case_id, command, expected, clerk, at)
    return read_case(case, clerk, response, at.calendar)


@router.post("/files/{case_id}/correction-requests", response_model=CaseRead)
async def request_correction(
    case_id: UUID,
    command: RequestCorrection,
    session: Session,
    officer: Handler,
    expected: IfMatch,
    at: At,
    response: Response,
) -> Any:
    """补正: everything missing, once; again, also after acceptance, for what a licence that lapsed leaves open."""
    case = await acts.request_correction(session, case_id, command, expected, officer, at)
    return read_case(case, officer, response, at.calendar)


@router.post("/files/{case_id}/corrections", response_model=CaseRead)
async def correct_case(
    case_id: UUID,
    command: Correct,
    session: Session,
    caller: CurrentCaller,
    expected: IfMatch,
    at: At,
    response: Response,
) -> Any:
    """The applicant supplies what was missing."""
    case = await acts.correct_case(session, case_id, command, expected, caller, at)
    return read_case(case, caller, response, at.calendar)


@router.post("/files/{case_id}/supplements", response_model=CaseRead)
async def supply_materials(
    case_id: UUID,
    command: Correct,
    session: Session,
    caller: CurrentCaller,
    expected: IfMatch,
    at: At,
    response: Response,
) -> Any:
    """容缺后补: the applicant brings what was promised, or replaces what has lapsed."""
    case = await acts.supply_materials(session, case_id, command, expected, caller, at)
    return read_case(case, caller, response, at.calendar)


@router.post("/files/{case_id}/reviews", response_model=CaseRead)
async def review_case(
    case_id: UUID,
    command: Review,
    session: Session,
    approver: Approver,
    expected: IfMatch,
    at: At,
    response: Response,
) -> Any:
    """审查 by one of at least two people."""
    case = await acts.review_case(session, case_id, command, expected, approver, at)
    return read_case(case, approver, response, at.calendar)


@router.post("/files/{case_id}/suspension", response_model=CaseRead)
async def suspend_case(
    case_id: UUID,
    command: SuspendCase,
    session: Session,
    approver: Approver,
    expected: IfMatch,
    at: At,
    response: Response,
) -> Any:
    """特别程序: its time is not counted (art. 45)."""
    case = await acts.suspend_case(session, case_id, command, expected, approver, at)
    return read_case(case, approver, response, at.calendar)


@router.post("/files/{case_id}/resumption", response_model=CaseRead)
async def resume_case(
    case_id: UUID,
    session: Session,
    approver: Approver,
    expected: IfMatch,
    at: At,
    response: Response,
) -> Any:
    """The special procedure is over: due dates move by the working days it took."""
    return read_case(
        await acts.resume_case(session, case_id, expected, approver, at),
        approver,
        response,
        at.calendar,
    )


@router.post("/files/{case_id}/extension", response_model=CaseRead)
async def extend_case(
    case_id: UUID,
    command: ExtendTime,
    session: Session,
    head: Head,
    expected: IfMatch,
    at: At,
    settings: Config,
    response: Response,
) -> Any:
    """延期, once, approved by the organ's head (art. 42)."""
    case = await acts.extend_case(
        session, case_id, command, expected, head, at, settings.extension_days_max
    )
    return read_case(case, head, response, at.calendar)


@router.post("/files/{case_id}/decision", response_model=CaseRead)
async def decide_case(
    case_id: UUID,
    command: Decide,
    session: Session,
    leader: Leader,
    expected: IfMatch,
    at: At,
    response: Response,
) -> Any:
    """决定 by a leader."""
    case = await acts.decide_case(session, case_id, command, expected, leader, at)
    return read_case(case, leader, response, at.calendar)


@router.post("/files/{case_id}/delivery", response_model=CaseRead)
async def deliver_case(
    case_id: UUID,
    command: Deliver,
    session: Session,
    deliverer: Deliverer,
    expected: IfMatch,
    at: At,
    response: Response,
) -> Any:
    """送达 by a third person."""
    case = await acts.deliver_case(session, case_id, command, expected, deliverer, at)
    return read_case(case, deliverer, response, at.calendar)


@router.post("/files/{case_id}/withdrawal", response_model=CaseRead)
async def withdraw_case(
    case_id: UUID,
    session: Session,
    caller: CurrentCaller,
    expected: IfMatch,
    at: At,
    response: Response,
) -> Any:
    """撤回 by the applicant, before the decision."""
    return read_case(
        await acts.withdraw_case(session, case_id, expected, caller, at),
        caller,
        response,
        at.calendar,
    )


@router.post("/files/{case_id}/return", response_model=CaseRead)
async def return_case(
    case_id: UUID,
    command: RefuseAcceptance,
    session: Session,
    clerk: Clerk,
    expected: IfMatch,
    at: At,
    response: Response,
) -> Any:
    """退件: the gaps were never supplied."""
    case = await acts.return_case(session, case_id, command, expected, clerk, at)
    return read_case(case, clerk, response, at.calendar)
