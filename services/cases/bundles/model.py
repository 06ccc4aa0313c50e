"""The parent of a one-thing application (一件事).

It holds the copy of the bundle and the state of the parent.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import BigInteger, Boolean, DateTime, Index, Integer, LargeBinary, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from services.cases.case_file.model.enums import ApplicantKind, CaseResult, Channel
from services.cases.case_file.model.materials import StoredPart
from services.cases.case_file.model.states import State
from services.cases.model_base import Base
from shared.database.columns import enum_column, json_column
from shared.domain.bundles import BundleSnapshot
from shared.security.crypto import Encrypted

RESULT = "result"
"""Code of a case's own result where it is a material of another case."""
FORM = TypeAdapter(dict[str, str])
"""The filled-in form: value by code of the field."""


class Standing(StrEnum):
    """What a child is to the others that wait for it."""

    OPEN = "open"
    GRANTED = "granted"
    ENDED = "ended"  # without a grant: refused, withdrawn, returned


class BundleState(StrEnum):
    """State of the parent, derived from its children."""

    HANDLING = "handling"  # 办理中
    DECIDED = "decided"  # every child has its end, results wait for the one delivery
    CLOSED = "closed"  # 办结


class BundleCopy(Base):
    """The published bundle as its newest event describes it."""

    __tablename__ = "bundle_copy"

    bundle_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    revision: Mapped[int] = mapped_column(Integer)
    event_number: Mapped[int | None] = mapped_column(BigInteger)
    """Of the newest event; empty of a release before 0.2, which went by the revision."""
    version: Mapped[int] = mapped_column(Integer)
    open: Mapped[bool] = mapped_column(Boolean)
    document: Mapped[BundleSnapshot] = json_column(BundleSnapshot)


class PlannedResult(StoredPart):
    """The result of the child `of` will be the material `material` of this child."""

    of: str
    material: str


class PlanEntry(StoredPart):
    """A child of the application.

    It waits until those in `after` are granted. `fields` are the codes of the form that it uses.
    """

    code: str
    after: list[str]
    fields: list[str]
    case_id: UUID
    results: list[PlannedResult]


class BundleCase(Base):
    """One application for a bundle.

    Personal data is encrypted, also the filled-in form (`fields`). `plan`: the children in order.
    """

    __tablename__ = "bundle_case"
    __table_args__ = (Index("ix_bundle_case_owner", "account_id", "id"),)

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    number: Mapped[str] = mapped_column(Text, unique=True)
    bundle_id: Mapped[UUID] = mapped_column(Uuid)
    bundle_version: Mapped[int] = mapped_column(Integer)
    name: Mapped[str] = mapped_column(Text)
    area_code: Mapped[str] = mapped_column(Text)
    department_code: Mapped[str] = mapped_column(Text)
    channel: Mapped[Channel] = enum_column(Channel)
    account_id: Mapped[UUID | None] = mapped_column(Uuid)
    applicant_kind: Mapped[ApplicantKind] = enum_column(ApplicantKind)
    applicant_name: Mapped[str] = mapped_column(Encrypted("bundle_case.applicant_name"))
    applicant_id_number: Mapped[str] = mapped_column(Encrypted("bundle_case.applicant_id_number"))
    applicant_id_hash: Mapped[bytes] = mapped_column(LargeBinary)
    phone: Mapped[str] = mapped_column(Encrypted("bundle_case.phone"))
    fields: Mapped[str] = mapped_column(Encrypted("bundle_case.fields"))
    guide_digest: Mapped[str] = mapped_column(Text)
    matters: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))
    plan: Mapped[list[PlanEntry]] = json_column(list[PlanEntry])
    intake_by: Mapped[str | None] = mapped_column(Text)
    submitted_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))

    @property
    def form(self) -> dict[str, str]:
        """The filled-in form (一表申请)."""
        return FORM.validate_json(self.fields)


def standing(state: State, result: CaseResult | None) -> Standing:
    """What a child's state and result mean for those that wait for it."""
    if state in {State.DECIDED, State.CLOSED}:
        if result == CaseResult.GRANTED:
            return Standing.GRANTED
        return Standing.ENDED
    if state in {State.NOT_ACCEPTED, State.WITHDRAWN, State.RETURNED}:
        return Standing.ENDED
    return Standing.OPEN


def bundle_state(children: Iterable[tuple[State, CaseResult | None]]) -> BundleState:
    """The parent's state, from state and result of each child."""
    states: set[State] = set()
    for state, result in children:
        if standing(state, result) is Standing.OPEN:
            return BundleState.HANDLING
        states.add(state)
    if State.DECIDED in states:
        return BundleState.DECIDED
    return BundleState.CLOSED
