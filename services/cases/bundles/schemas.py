"""Applying for a one-thing bundle (一件事), and how the application is shown."""

from datetime import date, datetime
from uuid import UUID

from pydantic import BaseModel, Field

from services.cases.applications.schemas import Applicant, ChannelName, Digest, Materials
from services.cases.bundles.model import BundleState
from services.cases.case_file.model.enums import ApplicantKind, CaseResult, Channel
from services.cases.case_file.model.states import State
from services.cases.case_file.schemas import CaseRead
from services.cases.schema_base import Strict
from shared.domain.bundles import Answers
from shared.domain.guides import Code
from shared.fields import Line


class ApplyBundle(Strict):
    """One application for all children of a bundle (一件事).

    `guide_digest` proves which checklist was shown. `fields` are those of the shared form.
    `materials` go by the codes of the merged list, each once for all children that need it.
    """

    bundle_id: UUID
    bundle_version: int = Field(ge=1, le=2**31 - 1)
    answers: Answers
    guide_digest: Digest
    applicant: Applicant
    fields: dict[Code, Line] = Field(default={}, max_length=200)
    materials: Materials = Field(default=[])
    channel: ChannelName = "pc"


class BundleChildRead(BaseModel):
    """A child of a one-thing application; the case itself only for whom it is."""

    code: str
    matter_name: str
    department_code: str
    after: list[str]
    state: State
    result: CaseResult | None
    number: str | None
    case: CaseRead | None


class BundleCaseRead(BaseModel):
    """A one-thing application.

    Officers of a child's department see the children and the fields of their own department.
    """

    id: UUID
    number: str
    bundle_id: UUID
    bundle_version: int
    name: str
    state: BundleState
    channel: Channel
    applicant_kind: ApplicantKind
    applicant_name: str
    applicant_id_number: str
    phone: str
    guide_digest: str
    fields: dict[str, str]
    submitted_at: datetime
    deliver_by: date | None
    children: list[BundleChildRead]


class BundleCaseSummary(BaseModel):
    """A one-thing application in a list."""

    id: UUID
    number: str
    name: str
    state: BundleState
    children: int
    granted: int
    submitted_at: datetime
