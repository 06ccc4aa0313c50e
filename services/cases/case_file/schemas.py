"""How cases and their timelines are shown."""

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field

from services.cases.case_file.model.enums import (
    ApplicantKind,
    CaseResult,
    Channel,
    SpecialProcedure,
    StepRole,
)
from services.cases.case_file.model.materials import CorrectionItem, StoredMaterial
from services.cases.case_file.model.states import CaseAct, State
from services.cases.schema_base import Strict


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
