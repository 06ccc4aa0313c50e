"""How cases and their timelines are shown, and to whom."""

from datetime import date, datetime
from typing import Annotated, NamedTuple, Self
from uuid import UUID

from pydantic import BaseModel, Field

from services.cases.access import is_officer_of
from services.cases.case_file.model.case import Case
from services.cases.case_file.model.enums import (
    ApplicantKind,
    CaseResult,
    Channel,
    SpecialProcedure,
    StepRole,
)
from services.cases.case_file.model.materials import CorrectionItem, StoredMaterial
from services.cases.case_file.model.states import CaseAct, State
from services.cases.case_file.queries import CaseRow, CaseSummaryRow
from services.cases.schema_base import Strict
from shared import clock
from shared.domain import masking
from shared.domain.workdays import WorkCalendar
from shared.errors import NotFoundError
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


class CaseRead(BaseModel):
    """A case; names and numbers are masked unless the reader is the applicant.

    While it waits it has no due date.
    """

    id: UUID
    number: str
    revision: int
    state: State
    matter_id: UUID
    matter_name: str
    area_code: str
    department_code: str
    immediate: bool
    channel: Channel
    applicant_kind: ApplicantKind
    applicant_name: str
    applicant_id_number: str
    phone: str
    guide_digest: str
    materials: list[StoredMaterial]
    missing: list[CorrectionItem]
    received_at: datetime
    accepted_on: date | None
    due_on: date | None
    legal_due_on: date | None
    step_due_on: date | None
    gap_due_on: date | None
    deemed: bool
    suspension: SpecialProcedure | None
    suspended_on: date | None
    extended_days: int
    result: CaseResult | None
    reasons: str | None
    overdue: bool
    bundle_case_id: UUID | None
    provisional_due: bool

    @classmethod
    def of(cls, case: AnyCase, caller: Caller, *, calendar: WorkCalendar) -> Self:
        """What the caller sees of a case: masked unless the caller is the applicant."""
        applicant = ApplicantData(
            case.applicant_kind, case.applicant_name, case.applicant_id_number, case.phone
        )
        if not is_own(case, caller):
            applicant = applicant.masked()
        today = clock.local_date(clock.now())
        return cls(
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


class CaseSummary(BaseModel):
    """A case in a list."""

    id: UUID
    number: str
    revision: int
    state: State
    matter_name: str
    due_on: date | None
    received_at: datetime
    overdue: bool
    bundle_case_id: UUID | None

    @classmethod
    def of(cls, row: CaseSummaryRow) -> Self:
        """The case as lists show it."""
        return cls(
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


class StepRead(BaseModel):
    """One step, by role, never by name.

    `agent_id` is the account that acted for the applicant (授权代办). `opinion`, the text of a
    review (审查意见), is shown to the officers of the department alone.
    """

    act: CaseAct
    role: StepRole
    agent_id: str | None
    note: str | None
    opinion: str | None
    at: datetime


class Track(Strict):
    """A case number and the last four digits of the applicant's phone."""

    number: Annotated[str, Field(pattern=r"^[0-9A-Z]{20,50}$")]
    phone_last4: Annotated[str, Field(pattern=r"^[0-9]{4}$")]


class Tracked(BaseModel):
    """What number and phone show without signing in."""

    number: str
    state: State
    matter_name: str
    due_on: date | None
