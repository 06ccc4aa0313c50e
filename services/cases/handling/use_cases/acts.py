"""The acts on a case, in the order of its life. Each locks the row, so once-only acts have one effect under any load."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.applications.use_cases.materials import license_ids, take_more
from services.cases.bundles import queries as bundle_queries
from services.cases.bundles.use_cases.follow import follow_bundle
from services.cases.case_file import queries
from services.cases.case_file.model.case import Case
from services.cases.case_file.model.states import FINAL, State
from services.cases.case_file.model.timeline import TimelineRow
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
from services.cases.handling.use_cases.lights import settle
from services.cases.licenses import queries as license_queries
from services.cases.licenses.use_cases import forget_uses, note_uses
from shared import context
from shared.database import audit
from shared.domain.workdays import Moment
from shared.errors import FieldError, ForbiddenError, InvalidInputError, NotFoundError
from shared.events.base import Event
from shared.http.etags import check_version
from shared.ids import new_id
from shared.messaging import outbox
from shared.security.tokens import Caller


async def _own(session: AsyncSession, case_id: UUID, expected: int, caller: Caller) -> Case:
    """The applicant's own case, locked, at the version that was read.

    Whoever applied at a window without an account acts through a window clerk of that department.
    """
    case = await queries.get_case(session, case_id, lock=True)
    place = (case.area_code, case.department_code)
    on_behalf = (
        case.account_id is None
        and "window_clerk" in caller.roles
        and place == (caller.area, caller.department)
    )
    own = str(case.account_id) == caller.subject and caller.covers(case.matter_id)
    if not own and not on_behalf:
        raise NotFoundError("no such case of yours")
    check_version(case.revision, expected)
    return case


async def _departments(session: AsyncSession, case_id: UUID, expected: int, caller: Caller) -> Case:
    """A case of the officer's area and department, locked, at the version that was read."""
    case = await queries.get_case(session, case_id, lock=True)
    if (case.area_code, case.department_code) != (caller.area, caller.department):
        raise NotFoundError("no such case of yours")
    check_version(case.revision, expected)
    case.officer = caller.subject
    return case


async def _record(
    session: AsyncSession,
    case: Case,
    act: str,
    role: str,
    at: Moment,
    *facts: Event,
    note: str | None = None,
    opinion: str | None = None,
) -> Case:
    """Facts, the applicant's timeline, the audit trail; lights that the act has made untrue go out with it."""
    for fact in facts:
        outbox.add(session, fact)
    step = {
        "act": act,
        "role": role,
        "agent_id": context.current().agent,
        "note": note,
        "opinion": opinion,
    }
    session.add(TimelineRow(id=new_id(), case_id=case.id, at=at.now, **step))
    audit.record(session, f"case.{act}", "case", case.id, reason=note, revision=case.revision)
    if case.state in FINAL:
        await forget_uses(session, case, case.materials)
    _ = await settle(session, [case], at)
    if case.bundle_case_id is not None:
        await follow_bundle(session, case, at)
    return case


async def accept_case(
    session: AsyncSession, case_id: UUID, expected: int, caller: Caller, at: Moment
) -> Case:
    """受理."""
    case = await _departments(session, case_id, expected, caller)
    return await _record(session, case, "accept", "intake", at, case.accept(caller.subject, at))


async def refuse_acceptance(
    session: AsyncSession,
    case_id: UUID,
    command: RefuseAcceptance,
    expected: int,
    caller: Caller,
    at: Moment,
) -> Case:
    """不予受理."""
    await bundle_queries.lock_bundle_of(session, case_id)
    case = await _departments(session, case_id, expected, caller)
    facts = case.refuse_acceptance(caller.subject, command.reasons, at)
    return await _record(
        session, case, "refuse_acceptance", "intake", at, *facts, note=command.reasons
    )


async def request_correction(
    session: AsyncSession,
    case_id: UUID,
    command: RequestCorrection,
    expected: int,
    caller: Caller,
    at: Moment,
) -> Case:
    """补正: everything missing, told once; what a lapsed licence leaves open, whenever it lapses, by any officer."""
    case = await _departments(session, case_id, expected, caller)
    if case.state == State.RECEIVED and "window_clerk" not in caller.roles:
        raise ForbiddenError("before acceptance a window clerk asks for corrections")
    items = [item.model_dump() for item in command.items]
    return await _record(
        session,
        case,
        "request_correction",
        "intake",
        at,
        case.request_correction(caller.subject, items, at),
    )


async def correct_case(
    session: AsyncSession,
    case_id: UUID,
    command: Correct,
    expected: int,
    caller: Caller,
    at: Moment,
) -> Case:
    """The applicant supplies what was missing."""
    case, materials = await _bring(session, case_id, command, expected, caller, at)
    before, fact = case.materials, case.correct(materials, at)
    await _note_change(session, case, before, materials, at)
    return await _record(session, case, "correct", "applicant", at, fact)


async def supply_materials(
    session: AsyncSession,
    case_id: UUID,
    command: Correct,
    expected: int,
    caller: Caller,
    at: Moment,
) -> Case:
    """容缺后补: the applicant brings what was promised, or replaces what has lapsed."""
    case, materials = await _bring(session, case_id, command, expected, caller, at)
    before = case.materials
    case.supply(materials, at)
    await _note_change(session, case, before, materials, at)
    return await _record(session, case, "supply", "applicant", at)


async def _bring(
    session: AsyncSession,
    case_id: UUID,
    command: Correct,
    expected: int,
    caller: Caller,
    at: Moment,
) -> tuple[Case, list[dict[str, Any]]]:
    """The applicant's case and the materials brought to it. Licences are locked before the case, as their events do."""
    licenses = await license_queries.lock_licenses(session, license_ids(command.materials))
    case = await _own(session, case_id, expected, caller)
    return case, await take_more(session, case, command.materials, licenses, caller, at)


async def _note_change(
    session: AsyncSession,
    case: Case,
    before: Sequence[dict[str, Any]],
    materials: Sequence[dict[str, Any]],
    at: Moment,
) -> None:
    """Which licences the case rests on no longer, and which it uses now."""
    replaced = {material["code"] for material in materials}
    await forget_uses(session, case, (one for one in before if one["code"] in replaced))
    await note_uses(session, case, materials, "applicant", at)


async def review_case(
    session: AsyncSession, case_id: UUID, command: Review, expected: int, caller: Caller, at: Moment
) -> Case:
    """审查 by one of at least two people."""
    case = await _departments(session, case_id, expected, caller)
    case.review(caller.subject, at)
    return await _record(
        session, case, "review", "review", at, note=command.opinion, opinion=command.text
    )


async def suspend_case(
    session: AsyncSession,
    case_id: UUID,
    command: SuspendCase,
    expected: int,
    caller: Caller,
    at: Moment,
) -> Case:
    """特别程序: an approver says which, how long it is planned, and why."""
    case = await _departments(session, case_id, expected, caller)
    fact = case.suspend(command.kind, command.planned_days, at)
    return await _record(session, case, "suspend", "review", at, fact, note=command.reason)


async def resume_case(
    session: AsyncSession, case_id: UUID, expected: int, caller: Caller, at: Moment
) -> Case:
    """The special procedure is over."""
    case = await _departments(session, case_id, expected, caller)
    return await _record(session, case, "resume", "review", at, case.resume(at))


async def extend_case(
    session: AsyncSession,
    case_id: UUID,
    command: ExtendTime,
    expected: int,
    caller: Caller,
    at: Moment,
    limit: int,
) -> Case:
    """延期 of at most `limit` working days, approved by the organ's head."""
    if command.days > limit:
        fault = FieldError("days", "extension_limit", f"at most {limit} working days")
        raise InvalidInputError("the extension is too long", [fault])
    case = await _departments(session, case_id, expected, caller)
    return await _record(
        session, case, "extend", "decision", at, case.extend(command.days, at), note=command.reasons
    )


async def decide_case(
    session: AsyncSession, case_id: UUID, command: Decide, expected: int, caller: Caller, at: Moment
) -> Case:
    """决定 by a leader."""
    await bundle_queries.lock_bundle_of(session, case_id)
    case = await _departments(session, case_id, expected, caller)
    fact = case.decide(caller.subject, command.result, command.reasons, at)
    return await _record(session, case, "decide", "decision", at, fact, note=command.reasons)


async def deliver_case(
    session: AsyncSession,
    case_id: UUID,
    command: Deliver,
    expected: int,
    caller: Caller,
    at: Moment,
) -> Case:
    """送达 by a third person."""
    case = await _departments(session, case_id, expected, caller)
    facts = case.deliver(caller.subject, command.method, at)
    return await _record(
        session, case, "deliver", "delivery", at, *facts, note=command.tracking_number
    )


async def withdraw_case(
    session: AsyncSession, case_id: UUID, expected: int, caller: Caller, at: Moment
) -> Case:
    """撤回 by the applicant."""
    await bundle_queries.lock_bundle_of(session, case_id)
    case = await _own(session, case_id, expected, caller)
    return await _record(session, case, "withdraw", "applicant", at, *case.withdraw(at))


async def return_case(
    session: AsyncSession,
    case_id: UUID,
    command: RefuseAcceptance,
    expected: int,
    caller: Caller,
    at: Moment,
) -> Case:
    """退件: the gaps were never supplied."""
    await bundle_queries.lock_bundle_of(session, case_id)
    case = await _departments(session, case_id, expected, caller)
    fact = case.give_back(command.reasons, at)
    return await _record(session, case, "return", "intake", at, fact, note=command.reasons)
