"""How a case is shown, and to whom."""

from datetime import date
from typing import NamedTuple

from services.cases.access import is_officer_of
from services.cases.case_file.model.case import Case
from services.cases.case_file.model.enums import ApplicantKind
from services.cases.case_file.model.states import State
from services.cases.case_file.queries import CaseRow, CaseSummaryRow
from services.cases.case_file.schemas import CaseRead, CaseSummary
from shared import clock
from shared.database.acts import Act, Headers
from shared.domain import masking
from shared.domain.workdays import Moment, WorkCalendar
from shared.errors import NotFoundError
from shared.http.etags import etag
from shared.security.tokens import Caller

AnyCase = Case | CaseRow
"""A case as an entity, or as a row that was only read."""


def is_own(case: AnyCase, caller: Caller) -> bool:
    """The caller's own; an agent's only in the matters of the mandate."""
    if case.account_id is None or str(case.account_id) != caller.subject:
        return False
    return caller.covers(case.matter_id)


def check_reader(case: AnyCase, caller: Caller) -> None:
    """Let the applicant pass, and officers of the case's own department.

    Raises `NotFoundError` for everyone else, as if there were no such case.
    """
    if is_own(case, caller):
        return
    if not is_officer_of(caller, case.area_code, department_code=case.department_code):
        raise NotFoundError("no such case of yours")


class ApplicantData(NamedTuple):
    """Who applied, as answers show it."""

    kind: ApplicantKind
    name: str
    id_number: str
    phone: str

    def masked(self) -> "ApplicantData":
        """For officers; the number of an organisation is public and never masked."""
        id_number = self.id_number
        if self.kind is ApplicantKind.PERSON:
            id_number = masking.mask_id_number(id_number)
        name = masking.mask_name(self.name)
        return ApplicantData(self.kind, name, id_number, masking.mask_phone(self.phone))


def shown_due_date(state: State, due_on: date) -> date | None:
    """A child that waits has no due date yet."""
    if state is State.WAITING:
        return None
    return due_on


def show_case(case: AnyCase, caller: Caller, *, calendar: WorkCalendar) -> CaseRead:
    """What the caller sees of a case: masked unless the caller is the applicant."""
    applicant = ApplicantData(
        case.applicant_kind, case.applicant_name, case.applicant_id_number, case.phone
    )
    if not is_own(case, caller):
        applicant = applicant.masked()
    today = clock.local_date(clock.now())
    return CaseRead(
        id=case.id,
        number=case.number,
        revision=case.revision,
        state=case.state,
        matter_id=case.matter_id,
        matter_name=case.matter_name,
        area_code=case.area_code,
        department_code=case.department_code,
        immediate=case.immediate,
        channel=case.channel,
        applicant_kind=applicant.kind,
        applicant_name=applicant.name,
        applicant_id_number=applicant.id_number,
        phone=applicant.phone,
        guide_digest=case.guide_digest,
        materials=case.materials,
        missing=case.missing,
        received_at=case.received_at,
        accepted_on=case.accepted_on,
        due_on=shown_due_date(case.state, case.due_on),
        legal_due_on=case.legal_due_on,
        step_due_on=case.step_due_on,
        gap_due_on=case.gap_due_on,
        deemed=case.deemed,
        suspension=case.suspension,
        suspended_on=case.suspended_on,
        extended_days=case.extended_days,
        result=case.result,
        reasons=case.reasons,
        overdue=case.overdue,
        bundle_case_id=case.bundle_case_id,
        provisional_due=calendar.is_provisional(today, end=max(today, case.due_on)),
    )


def answer_case(
    case: AnyCase, caller: Caller, *, headers: Headers, calendar: WorkCalendar
) -> CaseRead:
    """The answer that shows a case, with its ETag."""
    headers["etag"] = etag(case.revision)
    return show_case(case, caller, calendar=calendar)


def answer_act(act: Act[Moment], case: Case) -> CaseRead:
    """The answer to an act on the case."""
    return answer_case(case, act.caller, headers=act.headers, calendar=act.at.calendar)


def summarize(row: CaseSummaryRow) -> CaseSummary:
    """The case as lists show it."""
    return CaseSummary(
        id=row.id,
        number=row.number,
        revision=row.revision,
        state=row.state,
        matter_name=row.matter_name,
        due_on=shown_due_date(row.state, row.due_on),
        received_at=row.received_at,
        overdue=row.overdue,
        bundle_case_id=row.bundle_case_id,
    )
