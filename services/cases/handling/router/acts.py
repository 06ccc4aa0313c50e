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
from services.cases.case_file.schemas import CaseRead
from services.cases.case_file.views import answer_act
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

router = APIRouter()


@router.post("/files/{case_id}/acceptance")
async def accept_case(act: ClerkAct, case_id: UUID) -> CaseRead:
    """受理."""
    return answer_act(act, await acts.accept_case(act, case_id))


@router.post("/files/{case_id}/non-acceptance")
async def refuse_acceptance(act: ClerkAct, case_id: UUID, command: RefuseAcceptance) -> CaseRead:
    """不予受理, with reasons."""
    return answer_act(act, await acts.refuse_acceptance(act, case_id, command))


@router.post("/files/{case_id}/correction-requests")
async def request_correction(
    act: HandlerAct, case_id: UUID, command: RequestCorrection
) -> CaseRead:
    """补正: everything missing, once.

    Again, also after acceptance, for what a lapsed licence leaves open.
    """
    return answer_act(act, await acts.request_correction(act, case_id, command))


@router.post("/files/{case_id}/corrections")
async def correct_case(act: CallerAct, case_id: UUID, command: Correct) -> CaseRead:
    """The applicant supplies what was missing."""
    return answer_act(act, await acts.correct_case(act, case_id, command))


@router.post("/files/{case_id}/supplements")
async def supply_materials(act: CallerAct, case_id: UUID, command: Correct) -> CaseRead:
    """容缺后补: the applicant brings what was promised, or replaces what has lapsed."""
    return answer_act(act, await acts.supply_materials(act, case_id, command))


@router.post("/files/{case_id}/reviews")
async def review_case(act: ApproverAct, case_id: UUID, command: Review) -> CaseRead:
    """审查 by one of at least two people."""
    return answer_act(act, await acts.review_case(act, case_id, command))


@router.post("/files/{case_id}/suspension")
async def suspend_case(act: ApproverAct, case_id: UUID, command: SuspendCase) -> CaseRead:
    """特别程序: its time is not counted (art. 45)."""
    return answer_act(act, await acts.suspend_case(act, case_id, command))


@router.post("/files/{case_id}/resumption")
async def resume_case(act: ApproverAct, case_id: UUID) -> CaseRead:
    """The special procedure is over: due dates move by the working days it took."""
    return answer_act(act, await acts.resume_case(act, case_id))


@router.post("/files/{case_id}/extension")
async def extend_case(
    act: HeadAct, case_id: UUID, command: ExtendTime, settings: Config
) -> CaseRead:
    """延期, once, approved by the organ's head (art. 42)."""
    limit = settings.extension_days_max
    return answer_act(act, await acts.extend_case(act, case_id, command, limit=limit))


@router.post("/files/{case_id}/decision")
async def decide_case(act: LeaderAct, case_id: UUID, command: Decide) -> CaseRead:
    """决定 by a leader."""
    return answer_act(act, await acts.decide_case(act, case_id, command))


@router.post("/files/{case_id}/delivery")
async def deliver_case(act: DelivererAct, case_id: UUID, command: Deliver) -> CaseRead:
    """送达 by a third person."""
    return answer_act(act, await acts.deliver_case(act, case_id, command))


@router.post("/files/{case_id}/withdrawal")
async def withdraw_case(act: CallerAct, case_id: UUID) -> CaseRead:
    """撤回 by the applicant, before the decision."""
    return answer_act(act, await acts.withdraw_case(act, case_id))


@router.post("/files/{case_id}/return")
async def return_case(act: ClerkAct, case_id: UUID, command: RefuseAcceptance) -> CaseRead:
    """退件: the gaps were never supplied."""
    return answer_act(act, await acts.return_case(act, case_id, command))
