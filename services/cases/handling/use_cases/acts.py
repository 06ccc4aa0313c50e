"""The acts on a case, in the order of its life.

Every act locks the row of the case, so that acts at the same time follow one another and each
has its effect once.
"""

from collections.abc import Sequence
from uuid import UUID

from services.cases.access import belongs_to
from services.cases.applications.schemas import GivenMaterial
from services.cases.applications.use_cases.materials import license_ids, resolve_additional
from services.cases.bundles import queries as bundle_queries
from services.cases.bundles.use_cases.follow import follow_bundle
from services.cases.case_file import queries
from services.cases.case_file.model.case import Case
from services.cases.case_file.model.enums import CaseResult, SpecialProcedure, StepRole
from services.cases.case_file.model.materials import CorrectionItem, StoredMaterial
from services.cases.case_file.model.states import FINAL, CaseAct, State
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
from services.cases.handling.use_cases.lights import update_lights
from services.cases.journal import Journal, Step, step_of
from services.cases.licenses import queries as license_queries
from services.cases.licenses.use_cases import forget_uses
from shared.database.acts import Act
from shared.domain.workdays import Moment
from shared.errors import FieldError, ForbiddenError, InvalidInputError, NotFoundError
from shared.events.base import Event
from shared.http.etags import check_version


async def accept_case(act: Act[Moment], case_id: UUID) -> Case:
    """Accept the case (受理): the handling clocks start."""
    # No lock on a bundle: acceptance is no end, so nothing follows for other children.
    case = await _departments_case(act, case_id)
    accepted = case.accept(act.caller.subject, act.at)
    step = step_of(case, CaseAct.ACCEPT, role=StepRole.INTAKE)
    return await _complete(act, case, step=step, events=[accepted])


async def refuse_acceptance(act: Act[Moment], case_id: UUID, *, command: RefuseAcceptance) -> Case:
    """Refuse to accept the case (不予受理), with reasons."""
    # The parent before the case: of two children that end at the same moment, the second must
    # see the end of the first (docs/adr/0011).
    await bundle_queries.lock_bundle_of(act.session, case_id)
    case = await _departments_case(act, case_id)
    events = case.refuse_acceptance(act.caller.subject, reasons=command.reasons, at=act.at)
    step = step_of(case, CaseAct.REFUSE_ACCEPTANCE, role=StepRole.INTAKE, note=command.reasons)
    return await _complete(act, case, step=step, events=events)


async def request_correction(
    act: Act[Moment], case_id: UUID, *, command: RequestCorrection
) -> Case:
    """Ask the applicant for everything that is missing, at once (补正).

    Before acceptance a window clerk does it. Later, any officer may ask for what a lapsed license
    leaves open.
    """
    case = await _departments_case(act, case_id)
    # Until acceptance the front desk works on the case; then its examiners know what is missing.
    if case.state is State.RECEIVED and "window_clerk" not in act.caller.roles:
        raise ForbiddenError("before acceptance a window clerk asks for corrections")
    items: list[CorrectionItem] = []
    for item in command.items:
        items.append(CorrectionItem(material_code=item.material_code, text=item.text))
    requested = case.request_correction(act.caller.subject, items, at=act.at)
    step = step_of(case, CaseAct.REQUEST_CORRECTION, role=StepRole.INTAKE)
    return await _complete(act, case, step=step, events=[requested])


async def correct_case(act: Act[Moment], case_id: UUID, *, command: Correct) -> Case:
    """Take in what the applicant supplies after a correction request."""
    case, materials = await _attach(act, case_id, given=command.materials)
    # Read now: the act puts a new list in its place.
    before = case.materials
    event = case.correct(materials, act.at)
    step = step_of(case, CaseAct.CORRECT, role=StepRole.APPLICANT)
    return await _complete_with_materials(
        act, case, step=step, events=[event], before=before, added=materials
    )


async def supply_materials(act: Act[Moment], case_id: UUID, *, command: Correct) -> Case:
    """Take in materials that were promised, or that replace lapsed ones (容缺后补)."""
    case, materials = await _attach(act, case_id, given=command.materials)
    before = case.materials
    case.supply(materials, act.at)
    step = step_of(case, CaseAct.SUPPLY, role=StepRole.APPLICANT)
    return await _complete_with_materials(
        # No event: that a lapsed license is replaced has none of its own (docs/limits.md).
        act,
        case,
        step=step,
        events=[],
        before=before,
        added=materials,
    )


async def review_case(act: Act[Moment], case_id: UUID, *, command: Review) -> Case:
    """Record the opinion of one reviewer (审查); a case needs two, or one if it is simple."""
    case = await _departments_case(act, case_id)
    case.review(act.caller.subject, act.at)
    step = step_of(
        case,
        CaseAct.REVIEW,
        role=StepRole.REVIEW,
        # The applicant reads `note`; the words of the reviewer are for the department alone.
        note=command.opinion,
        opinion=command.text,
    )
    return await _complete(act, case, step=step, events=[])


async def suspend_case(act: Act[Moment], case_id: UUID, *, command: SuspendCase) -> Case:
    """Stop the clocks for a special procedure (特别程序), such as a hearing."""
    case = await _departments_case(act, case_id)
    suspended = case.suspend(SpecialProcedure(command.kind), command.planned_days, at=act.at)
    step = step_of(case, CaseAct.SUSPEND, role=StepRole.REVIEW, note=command.reason)
    return await _complete(act, case, step=step, events=[suspended])


async def resume_case(act: Act[Moment], case_id: UUID) -> Case:
    """Let the clocks go on: the special procedure is over."""
    case = await _departments_case(act, case_id)
    resumed = case.resume(act.at)
    step = step_of(case, CaseAct.RESUME, role=StepRole.REVIEW)
    return await _complete(act, case, step=step, events=[resumed])


async def extend_case(act: Act[Moment], case_id: UUID, *, command: ExtendTime, limit: int) -> Case:
    """Extend the time by at most `limit` working days (延期), approved by the organ's head."""
    # Before the case is locked: the command alone tells that it asks for too much.
    if command.days > limit:
        fault = FieldError(
            "days", "extension_limit", message="at most {limit} working days", limit=limit
        )
        raise InvalidInputError("the extension is too long", [fault])
    case = await _departments_case(act, case_id)
    extended = case.extend(command.days, act.at)
    step = step_of(case, CaseAct.EXTEND, role=StepRole.DECISION, note=command.reasons)
    return await _complete(act, case, step=step, events=[extended])


async def decide_case(act: Act[Moment], case_id: UUID, *, command: Decide) -> Case:
    """Decide: grant or refuse (决定), by a leader."""
    # As in `refuse_acceptance`: a refusal or a grant decides about children that wait.
    await bundle_queries.lock_bundle_of(act.session, case_id)
    case = await _departments_case(act, case_id)
    result = CaseResult(command.result)
    decided = case.decide(act.caller.subject, result, reasons=command.reasons, at=act.at)
    step = step_of(case, CaseAct.DECIDE, role=StepRole.DECISION, note=command.reasons)
    return await _complete(act, case, step=step, events=[decided])


async def deliver_case(act: Act[Moment], case_id: UUID, *, command: Deliver) -> Case:
    """Deliver the result to the applicant (送达), by a third person."""
    case = await _departments_case(act, case_id)
    # No lock on a bundle: what the result means for other children followed from the decision.
    events = case.deliver(act.caller.subject, command.method, at=act.at)
    step = step_of(case, CaseAct.DELIVER, role=StepRole.DELIVERY, note=command.tracking_number)
    return await _complete(act, case, step=step, events=events)


async def withdraw_case(act: Act[Moment], case_id: UUID) -> Case:
    """Withdraw the application (撤回), by the applicant."""
    # As in `refuse_acceptance`: a withdrawn child ends those that wait for it.
    await bundle_queries.lock_bundle_of(act.session, case_id)
    case = await _own_case(act, case_id)
    events = case.withdraw(act.at)
    step = step_of(case, CaseAct.WITHDRAW, role=StepRole.APPLICANT)
    return await _complete(act, case, step=step, events=events)


async def return_case(act: Act[Moment], case_id: UUID, *, command: RefuseAcceptance) -> Case:
    """Return the case (退件): the gaps were never filled."""
    # As in `refuse_acceptance`: a returned child ends those that wait for it.
    await bundle_queries.lock_bundle_of(act.session, case_id)
    case = await _departments_case(act, case_id)
    closed = case.give_back(command.reasons, act.at)
    step = step_of(case, CaseAct.RETURN, role=StepRole.INTAKE, note=command.reasons)
    return await _complete(act, case, step=step, events=[closed])


async def _own_case(act: Act[Moment], case_id: UUID) -> Case:
    """The applicant's own case, locked, at the version that was read.

    Whoever applied at a window without an account acts through a window clerk of that department.
    """
    case = await queries.get_case(act.session, case_id, lock=True)
    caller = act.caller
    if case.account_id is None:
        is_department = belongs_to(caller, case.area_code, department_code=case.department_code)
        may_act = is_department and "window_clerk" in caller.roles
    else:
        # An agent's mandate may be for some matters only.
        may_act = str(case.account_id) == caller.subject and caller.covers(case.matter_id)
    if not may_act:
        # 404, not 403: that somebody has a case here is personal data.
        raise NotFoundError("no such case of yours")
    check_version(case.revision, expected=act.expected)
    return case


async def _departments_case(act: Act[Moment], case_id: UUID) -> Case:
    """A case of the officer's own department, locked, at the version that was read."""
    case = await queries.get_case(act.session, case_id, lock=True)
    if not belongs_to(act.caller, case.area_code, department_code=case.department_code):
        raise NotFoundError("no such case of yours")
    check_version(case.revision, expected=act.expected)
    # For the work list: who acted last.
    case.officer = act.caller.subject
    return case


async def _attach(
    act: Act[Moment], case_id: UUID, *, given: Sequence[GivenMaterial]
) -> tuple[Case, list[StoredMaterial]]:
    """The applicant's case and the materials brought to it."""
    # Licenses are locked before the case: events about licenses do it in this order.
    licenses = await license_queries.lock_licenses(act.session, license_ids(given))
    case = await _own_case(act, case_id)
    materials = await resolve_additional(
        act.session, case, given=given, licenses=licenses, caller=act.caller, at=act.at
    )
    return case, materials


async def _complete(act: Act[Moment], case: Case, *, step: Step, events: Sequence[Event]) -> Case:
    """Write the step and its events, and do what follows from it."""
    journal = Journal(act.session, act.at.now)
    # The act first, then what follows from it: readers of events rely on this order.
    journal.append(step, *events)
    await journal.write()
    await _follow_up(act, case)
    return case


async def _complete_with_materials(
    act: Act[Moment],
    case: Case,
    *,
    step: Step,
    events: Sequence[Event],
    before: Sequence[StoredMaterial],
    added: Sequence[StoredMaterial],
) -> Case:
    """The same for a step that adds materials to those the case had before, or replaces them."""
    # Licenses that met replaced materials are used no longer. The journal comes after that: the
    # same license may meet the same material again.
    added_codes = {material.code for material in added}
    replaced = [material for material in before if material.code in added_codes]
    await forget_uses(act.session, case, materials=replaced)
    journal = Journal(act.session, act.at.now)
    journal.use_licenses(case, added, role=StepRole.APPLICANT, at=act.at)
    journal.append(step, *events)
    await journal.write()
    await _follow_up(act, case)
    return case


async def _follow_up(act: Act[Moment], case: Case) -> None:
    """What an act leads to: lights change, and other children of the bundle begin or end."""
    # Nobody needs to know any more when a license of a closed case lapses.
    if case.state in FINAL:
        await forget_uses(act.session, case, materials=case.materials)
    # At once, not by the timer: a light over a clock that has ended must not stay on.
    _ = await update_lights(act.session, [case], at=act.at)
    if case.bundle_case_id is None:
        return
    changed = await follow_bundle(act.session, case, at=act.at)
    if changed:
        _ = await update_lights(act.session, changed, at=act.at)
