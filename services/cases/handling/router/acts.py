"""HTTP endpoints of the acts on a case, in the order of its life."""

from uuid import UUID

from fastapi import APIRouter

from services.cases.access import (
    ApproverAct,
    CallerAct,
    ClerkAct,
    Config,
    DelivererAct,
    HandlerAct,
    HeadAct,
    LeaderAct,
)
from services.cases.case_file.model.case import Case
from services.cases.case_file.schemas import CaseRead
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
from shared.database.acts import Act
from shared.domain.workdays import Moment
from shared.http.etags import etag

router = APIRouter()


def _answer(act: Act[Moment], case: Case) -> CaseRead:
    """The case after the act, with its new ETag."""
    act.headers["etag"] = etag(case.revision)
    return CaseRead.of(case, act.caller, calendar=act.at.calendar)


@router.post("/files/{case_id}/acceptance")
async def accept_case(act: ClerkAct, case_id: UUID) -> CaseRead:
    """Accept the case (受理)."""
    return _answer(act, await acts.accept_case(act, case_id))


@router.post("/files/{case_id}/non-acceptance")
async def refuse_acceptance(act: ClerkAct, case_id: UUID, command: RefuseAcceptance) -> CaseRead:
    """Refuse to accept the case (不予受理), with reasons."""
    return _answer(act, await acts.refuse_acceptance(act, case_id, command=command))


@router.post("/files/{case_id}/correction-requests")
async def request_correction(
    act: HandlerAct, case_id: UUID, command: RequestCorrection
) -> CaseRead:
    """Ask for everything that is missing, once (补正).

    Again, also after acceptance, for what a lapsed license leaves open.
    """
    return _answer(act, await acts.request_correction(act, case_id, command=command))


@router.post("/files/{case_id}/corrections")
async def correct_case(act: CallerAct, case_id: UUID, command: Correct) -> CaseRead:
    """The applicant supplies what was missing."""
    # `CallerAct` asks for no role: the use case looks whose case it is.
    return _answer(act, await acts.correct_case(act, case_id, command=command))


@router.post("/files/{case_id}/supplements")
async def supply_materials(act: CallerAct, case_id: UUID, command: Correct) -> CaseRead:
    """The applicant brings what was promised (容缺后补), or replaces what has lapsed."""
    return _answer(act, await acts.supply_materials(act, case_id, command=command))


@router.post("/files/{case_id}/reviews")
async def review_case(act: ApproverAct, case_id: UUID, command: Review) -> CaseRead:
    """Review the case (审查): one of at least two people."""
    return _answer(act, await acts.review_case(act, case_id, command=command))


@router.post("/files/{case_id}/suspension")
async def suspend_case(act: ApproverAct, case_id: UUID, command: SuspendCase) -> CaseRead:
    """Suspend the case for a special procedure (特别程序), whose time is not counted (art. 45)."""
    return _answer(act, await acts.suspend_case(act, case_id, command=command))


@router.post("/files/{case_id}/resumption")
async def resume_case(act: ApproverAct, case_id: UUID) -> CaseRead:
    """Resume the case: due dates move by the working days that the special procedure took."""
    return _answer(act, await acts.resume_case(act, case_id))


@router.post("/files/{case_id}/extension")
async def extend_case(
    act: HeadAct, case_id: UUID, command: ExtendTime, settings: Config
) -> CaseRead:
    """Extend the time (延期), once, approved by the organ's head (art. 42)."""
    # A setting, because 10 days are the general rule and joint handling has 15 (art. 42).
    limit = settings.extension_days_max
    return _answer(act, await acts.extend_case(act, case_id, command=command, limit=limit))


@router.post("/files/{case_id}/decision")
async def decide_case(act: LeaderAct, case_id: UUID, command: Decide) -> CaseRead:
    """Decide the case (决定), by a leader."""
    return _answer(act, await acts.decide_case(act, case_id, command=command))


@router.post("/files/{case_id}/delivery")
async def deliver_case(act: DelivererAct, case_id: UUID, command: Deliver) -> CaseRead:
    """Deliver the result (送达), by a third person."""
    return _answer(act, await acts.deliver_case(act, case_id, command=command))


@router.post("/files/{case_id}/withdrawal")
async def withdraw_case(act: CallerAct, case_id: UUID) -> CaseRead:
    """Withdraw the application (撤回), by the applicant, before the decision."""
    return _answer(act, await acts.withdraw_case(act, case_id))


@router.post("/files/{case_id}/return")
async def return_case(act: ClerkAct, case_id: UUID, command: RefuseAcceptance) -> CaseRead:
    """Return the case (退件): the gaps were never filled."""
    return _answer(act, await acts.return_case(act, case_id, command=command))
