"""How cases, their steps, lights and files are shown."""

from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from services.cases.schema_base import Strict


class CaseRead(BaseModel):
    """A case; names and numbers masked unless the reader is the applicant. While it waits it has no due date."""

    id: UUID
    number: str
    revision: int
    state: str
    matter_id: UUID
    matter_name: str
    area_code: str
    department_code: str
    immediate: bool
    channel: str
    applicant_kind: str
    applicant_name: str
    applicant_id_number: str
    phone: str
    guide_digest: str
    materials: list[dict[str, Any]]
    missing: list[dict[str, Any]]
    received_at: datetime
    accepted_on: date | None
    due_on: date | None
    legal_due_on: date | None
    step_due_on: date | None
    gap_due_on: date | None
    deemed: bool
    suspension: str | None
    suspended_on: date | None
    extended_days: int
    result: str | None
    reasons: str | None
    overdue: bool
    bundle_case_id: UUID | None
    provisional_due: bool


class CaseSummary(BaseModel):
    """A case in a list."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    number: str
    revision: int
    state: str
    matter_name: str
    due_on: date | None
    received_at: datetime
    overdue: bool
    bundle_case_id: UUID | None


class StepRead(BaseModel):
    """One step, by role, never by name; `agent_id` is the account that acted for the applicant (授权代办).

    `opinion`, the words of a review (审查意见), is shown to the officers of the department alone.
    """

    model_config = ConfigDict(from_attributes=True)

    act: str
    role: str
    agent_id: str | None
    note: str | None
    opinion: str | None
    at: datetime


class Track(Strict):
    number: Annotated[str, Field(pattern=r"^[0-9A-Z]{20,50}$")]
    phone_last4: Annotated[str, Field(pattern=r"^[0-9]{4}$")]


class Tracked(BaseModel):
    """What number and phone show without signing in."""

    number: str
    state: str
    matter_name: str
    due_on: date | None
