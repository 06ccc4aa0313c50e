"""How a case is shown, and to whom."""

from typing import Any

from fastapi import Response

from services.cases.access import STAFF
from services.cases.case_file.model.case import Case
from services.cases.case_file.model.states import State
from services.cases.case_file.schemas import CaseRead
from shared import clock
from shared.domain import masking
from shared.domain.workdays import WorkCalendar
from shared.errors import NotFoundError
from shared.http.etags import etag
from shared.security.tokens import Caller

Shown = Case | Any
"""A case, or the row of it that `queries.read_case` gives."""


def is_own(case: Shown, caller: Caller) -> bool:
    """The caller's own; an agent's only in the matters of the mandate."""
    return (
        case.account_id is not None
        and str(case.account_id) == caller.subject
        and caller.covers(case.matter_id)
    )


def check_reader(case: Shown, caller: Caller) -> None:
    """The applicant, or staff of the case's own area and department; for everyone else it is not there."""
    staff = caller.kind == "staff" and bool(set(STAFF) & caller.roles)
    if not is_own(case, caller) and not (
        staff and (caller.area, caller.department) == (case.area_code, case.department_code)
    ):
        raise NotFoundError("no such case of yours")


def read_case(
    case: Shown, caller: Caller, response: Response, calendar: WorkCalendar
) -> dict[str, Any]:
    """The answer, masked unless the reader is the applicant."""
    response.headers["etag"] = etag(case.revision)
    return show_case(case, caller, calendar)


def show_case(case: Shown, caller: Caller, calendar: WorkCalendar) -> dict[str, Any]:
    """What the caller sees of a case."""
    plain = is_own(case, caller)
    values = {
        name: getattr(case, name) for name in CaseRead.model_fields if name != "provisional_due"
    }
    if not plain:
        values["applicant_name"] = masking.mask_name(case.applicant_name)
        values["phone"] = masking.mask_phone(case.phone)
        if case.applicant_kind == "person":
            values["applicant_id_number"] = masking.mask_id_number(case.applicant_id_number)
    if case.state == State.WAITING:
        values["due_on"] = None
    today = clock.local_date(clock.now())
    values["provisional_due"] = calendar.is_provisional(today, max(today, case.due_on))
    return values
