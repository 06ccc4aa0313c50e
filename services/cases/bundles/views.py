"""How a one-thing application is shown, and to whom."""

from collections.abc import Iterable, Mapping
from datetime import date

from services.cases.access import is_officer_of
from services.cases.bundles.model import (
    BundleCase,
    BundleState,
    PlanEntry,
    Standing,
    bundle_state,
    standing,
)
from services.cases.bundles.queries import BundleSummaryRow
from services.cases.bundles.schemas import BundleCaseRead, BundleCaseSummary, BundleChildRead
from services.cases.case_file.model.case import ACCEPTANCE_DAYS
from services.cases.case_file.model.states import State
from services.cases.case_file.schemas import AnyCase, ApplicantData, CaseRead, is_own
from shared.domain.workdays import Moment
from shared.errors import NotFoundError
from shared.security.tokens import Caller


def show_bundle(
    parent: BundleCase, cases: Iterable[AnyCase], *, caller: Caller, at: Moment
) -> BundleCaseRead:
    """What the caller sees of the application.

    The applicant sees all of it, an officer the children of the own department, the clerk who took
    it in also the numbers. Raises `NotFoundError` for everyone else.
    """
    children = _by_code(parent, cases)
    is_applicant = _is_applicant(parent, children, caller=caller)
    # The clerk tells the numbers to the person at the window, also those of other departments.
    took_it_in = parent.intake_by == caller.subject and "window_clerk" in caller.roles
    visible = set(children)
    if not is_applicant:
        visible = _departments_children(children, caller)
    if not visible and not took_it_in:
        raise NotFoundError("no such application of yours")
    applicant = ApplicantData(
        parent.applicant_kind, parent.applicant_name, parent.applicant_id_number, parent.phone
    )
    # The form concerns all children; an officer sees the fields of the own department.
    fields = parent.form
    if not is_applicant:
        applicant = applicant.masked()
        fields = _fields_of(parent, visible)
    shown = _show_children(
        parent, children, visible=visible, numbered=took_it_in, caller=caller, at=at
    )
    return BundleCaseRead(
        id=parent.id,
        number=parent.number,
        bundle_id=parent.bundle_id,
        bundle_version=parent.bundle_version,
        name=parent.name,
        state=_state_of(children),
        channel=parent.channel,
        applicant_kind=applicant.kind,
        applicant_name=applicant.name,
        applicant_id_number=applicant.id_number,
        phone=applicant.phone,
        guide_digest=parent.guide_digest,
        fields=fields,
        submitted_at=parent.submitted_at,
        deliver_by=deliver_by(parent.plan, children, at=at),
        children=shown,
    )


def _by_code(parent: BundleCase, cases: Iterable[AnyCase]) -> dict[str, AnyCase]:
    """The children in the order of the plan, by their codes."""
    by_id = {case.id: case for case in cases}
    children: dict[str, AnyCase] = {}
    for entry in parent.plan:
        children[entry.code] = by_id[entry.case_id]
    return children


def _state_of(children: Mapping[str, AnyCase]) -> BundleState:
    ends = [(case.state, case.result) for case in children.values()]
    return bundle_state(ends)


def _is_applicant(parent: BundleCase, children: Mapping[str, AnyCase], *, caller: Caller) -> bool:
    if parent.account_id is None:
        # Applied for at a window: nobody's account owns it.
        return False
    return all(is_own(case, caller) for case in children.values())


def _departments_children(children: Mapping[str, AnyCase], caller: Caller) -> set[str]:
    """Codes of the children that are handled by the officer's own department."""
    codes: set[str] = set()
    for code, case in children.items():
        if is_officer_of(caller, case.area_code, department_code=case.department_code):
            codes.add(code)
    return codes


def _show_children(
    parent: BundleCase,
    children: Mapping[str, AnyCase],
    *,
    visible: set[str],
    numbered: bool,
    caller: Caller,
    at: Moment,
) -> list[BundleChildRead]:
    shown: list[BundleChildRead] = []
    for entry in parent.plan:
        case = children[entry.code]
        child = BundleChildRead(
            code=entry.code,
            matter_name=case.matter_name,
            department_code=case.department_code,
            after=entry.after,
            state=case.state,
            result=case.result,
            number=None,
            case=None,
        )
        if numbered:
            child.number = case.number
        if entry.code in visible:
            child.number = case.number
            child.case = CaseRead.of(case, caller, calendar=at.calendar)
        shown.append(child)
    return shown


def _fields_of(parent: BundleCase, codes: set[str]) -> dict[str, str]:
    """The fields of the form that these children use."""
    used: set[str] = set()
    for entry in parent.plan:
        if entry.code in codes:
            used.update(entry.fields)
    return {code: value for code, value in parent.form.items() if code in used}


def summarize_bundle(row: BundleSummaryRow) -> BundleCaseSummary:
    """The application as lists show it."""
    granted = 0
    for state, result in row.children:
        if standing(state, result) is Standing.GRANTED:
            granted += 1
    return BundleCaseSummary(
        id=row.id,
        number=row.number,
        name=row.name,
        state=bundle_state(row.children),
        children=len(row.children),
        granted=granted,
        submitted_at=row.submitted_at,
    )


def deliver_by(
    plan: Iterable[PlanEntry], children: Mapping[str, AnyCase], *, at: Moment
) -> date | None:
    """The day by which every result is there; None when every child has come to its end.

    `children`: the cases by code. A child that waits is counted after those that it waits for.
    """
    after = {entry.code: entry.after for entry in plan}
    days: dict[str, date] = {}

    def ready_on(code: str) -> date:
        # A plan may name a child before the one that it waits for, hence the recursion.
        if code not in days:
            earlier = [ready_on(other) for other in _waits_for(children[code], after[code])]
            days[code] = _ready_on(children[code], max(earlier, default=at.today), at=at)
        return days[code]

    open_children: list[str] = []
    for code, case in children.items():
        if standing(case.state, case.result) is Standing.OPEN:
            open_children.append(code)
    return max([ready_on(code) for code in open_children], default=None)


def _waits_for(case: AnyCase, after: list[str]) -> list[str]:
    if case.state is State.WAITING:
        return after
    return []


def _ready_on(case: AnyCase, earlier: date, *, at: Moment) -> date:
    """The day of this child's result, if those before it are ready on the day `earlier`."""
    if case.state is State.WAITING:
        # It is received when the others are granted, and accepted on the last day at worst.
        days = ACCEPTANCE_DAYS + case.promised_days
        return at.calendar.add_working_days(max(earlier, at.today), days)
    if case.state in {State.RECEIVED, State.CORRECTING}:
        # `due_on` is still the last day of acceptance; the promise counts from there.
        return at.calendar.add_working_days(case.due_on, case.promised_days)
    return case.due_on
