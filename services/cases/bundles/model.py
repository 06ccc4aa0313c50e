"""The parent of a one-thing application (一件事): the copy of the bundle, and what its children's states come to."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, DateTime, Index, Integer, LargeBinary, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.cases.case_file.model.case import ACCEPTANCE_DAYS
from services.cases.case_file.model.states import State
from services.cases.model_base import Base
from shared.domain.workdays import Moment
from shared.security.crypto import Encrypted

RESULT = "result"
"""Code under which a case's own result stands where it meets a material of another."""


class Standing(StrEnum):
    """How a child stands to those that wait for it."""

    OPEN = "open"
    GRANTED = "granted"
    ENDED = "ended"  # without a grant: refused, withdrawn, returned


class BundleState(StrEnum):
    """State of the parent, derived from its children."""

    HANDLING = "handling"  # 办理中
    DECIDED = "decided"  # every child has its end, results wait for the one delivery
    CLOSED = "closed"  # 办结


class BundleCopy(Base):
    """The published bundle as its events told it."""

    __tablename__ = "bundle_copy"

    bundle_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    revision: Mapped[int] = mapped_column(Integer)
    version: Mapped[int] = mapped_column(Integer)
    open: Mapped[bool] = mapped_column(Boolean)
    document: Mapped[dict[str, Any]] = mapped_column(JSONB)


class BundleCase(Base):
    """One application for a bundle. Personal data is encrypted, the filled-in form (`fields`, JSON) among it.

    `plan`: the children in their order, each `{code, case_id, after, fields, results}`; `results` are `{material, of}`.
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
    channel: Mapped[str] = mapped_column(Text)
    account_id: Mapped[UUID | None] = mapped_column(Uuid)
    applicant_kind: Mapped[str] = mapped_column(Text)
    applicant_name: Mapped[str] = mapped_column(Encrypted("bundle_case.applicant_name"))
    applicant_id_number: Mapped[str] = mapped_column(Encrypted("bundle_case.applicant_id_number"))
    applicant_id_hash: Mapped[bytes] = mapped_column(LargeBinary)
    phone: Mapped[str] = mapped_column(Encrypted("bundle_case.phone"))
    fields: Mapped[str] = mapped_column(Encrypted("bundle_case.fields"))
    guide_digest: Mapped[str] = mapped_column(Text)
    matters: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))
    plan: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    intake_by: Mapped[str | None] = mapped_column(Text)
    submitted_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


def standing(state: str, result: str | None) -> Standing:
    """What a child's state and result mean for those that wait for it."""
    if state in {State.DECIDED, State.CLOSED}:
        return Standing.GRANTED if result == "0" else Standing.ENDED
    return (
        Standing.ENDED
        if state in {State.NOT_ACCEPTED, State.WITHDRAWN, State.RETURNED}
        else Standing.OPEN
    )


def bundle_state(children: Iterable[tuple[str, str | None]]) -> BundleState:
    """The parent's state, from state and result of each child."""
    known = list(children)
    if any(standing(*child) is Standing.OPEN for child in known):
        return BundleState.HANDLING
    return (
        BundleState.DECIDED
        if any(state == State.DECIDED for state, _ in known)
        else BundleState.CLOSED
    )


def deliver_by(
    plan: Iterable[Mapping[str, Any]], children: Mapping[str, Any], at: Moment
) -> date | None:
    """The one day by which every result is there: the latest of all children, one that waits counted after the others.

    `children`: the cases by code. None when every child has its end. A plan's order may name a child before the one it
    waits for, so the days are found from the ends of the chains.
    """
    waits = {entry["code"]: entry["after"] for entry in plan}
    days: dict[str, date] = {}

    def ready(code: str) -> date:
        if code not in days:
            case = children[code]
            if case.state == State.WAITING:
                start = max((ready(other) for other in waits[code]), default=at.today)
                days[code] = at.calendar.add_working_days(
                    max(start, at.today), ACCEPTANCE_DAYS + case.promised_days
                )
            elif case.state in {State.RECEIVED, State.CORRECTING}:
                days[code] = at.calendar.add_working_days(case.due_on, case.promised_days)
            else:
                days[code] = case.due_on
        return days[code]

    running = [
        code
        for code, case in children.items()
        if standing(case.state, case.result) is Standing.OPEN
    ]
    return max((ready(code) for code in running), default=None)
