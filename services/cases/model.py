"""Tables of cases and the rules of a case's life (行政许可法 arts 32–45; norms §3).

Every act is one method: it checks that the state allows it and who may do it, changes the case, raises its revision by one,
and returns the fact. Pure: time and calendar are passed in.
"""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, Date, DateTime, ForeignKey, Index, Integer, LargeBinary, SmallInteger, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared import clock
from shared.crypto import Encrypted
from shared.db import new_metadata
from shared.errors import ConflictError, FieldError, ForbiddenError
from shared.events.cases import (
    CaseAccepted,
    CaseClosed,
    CaseDecided,
    CaseNotAccepted,
    CaseReceived,
    CaseSubmitted,
    CaseWithdrawn,
    CorrectionRequested,
    ResultDelivered,
)
from shared.workdays import WorkCalendar

ACCEPTANCE_DAYS = 5
DELIVERY_DAYS = 10
REMEDIES = "不服本决定的, 可依法申请行政复议或者提起行政诉讼"
"""The right to 复议 and 诉讼 that every refusal states (art. 38)."""


class State(StrEnum):
    """办件状态."""

    RECEIVED = "received"  # 收件
    CORRECTING = "correcting"  # 补正
    ACCEPTED = "accepted"  # 受理, under review
    DECIDED = "decided"  # 办结, to be delivered
    CLOSED = "closed"  # 送达
    NOT_ACCEPTED = "not_accepted"  # 不予受理
    WITHDRAWN = "withdrawn"  # 撤回
    RETURNED = "returned"  # 退件


class Act(StrEnum):
    """What can be done to a case."""

    ACCEPT = "accept"
    REFUSE_ACCEPTANCE = "refuse_acceptance"
    REQUEST_CORRECTION = "request_correction"
    CORRECT = "correct"
    REVIEW = "review"
    DECIDE = "decide"
    DELIVER = "deliver"
    WITHDRAW = "withdraw"
    RETURN = "return"


ALLOWED: dict[Act, frozenset[State]] = {
    Act.ACCEPT: frozenset({State.RECEIVED}),
    Act.REFUSE_ACCEPTANCE: frozenset({State.RECEIVED}),
    Act.REQUEST_CORRECTION: frozenset({State.RECEIVED}),
    Act.CORRECT: frozenset({State.CORRECTING}),
    Act.REVIEW: frozenset({State.ACCEPTED}),
    Act.DECIDE: frozenset({State.ACCEPTED}),
    Act.DELIVER: frozenset({State.DECIDED}),
    Act.WITHDRAW: frozenset({State.RECEIVED, State.CORRECTING, State.ACCEPTED}),
    Act.RETURN: frozenset({State.CORRECTING}),
}
OPEN = frozenset({State.RECEIVED, State.CORRECTING, State.ACCEPTED, State.DECIDED})


@dataclass(frozen=True, slots=True)
class Moment:
    """When, and by which calendar."""

    now: datetime
    calendar: WorkCalendar

    @property
    def today(self) -> date:
        return clock.local_date(self.now)

    def after(self, days: int) -> date:
        return self.calendar.add_working_days(self.today, days)


class Base(DeclarativeBase):
    metadata = new_metadata()


class MatterCopy(Base):
    """The published matter as its events told it."""

    __tablename__ = "matter_copy"

    matter_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    revision: Mapped[int] = mapped_column(Integer)
    version: Mapped[int] = mapped_column(Integer)
    open: Mapped[bool] = mapped_column(Boolean)
    document: Mapped[dict[str, Any]] = mapped_column(JSONB)


class CaseSerial(Base):
    """The last serial of a matter on a day."""

    __tablename__ = "case_serial"

    code: Mapped[str] = mapped_column(Text, primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    last: Mapped[int] = mapped_column(Integer)


class Case(Base):
    """One application from receipt to delivery. Personal data is encrypted."""

    __tablename__ = "case_file"
    __table_args__ = (
        Index(
            "ix_case_file_work",
            "area_code",
            "department_code",
            "due_on",
            "id",
            postgresql_where=text("state IN ('received', 'correcting', 'accepted', 'decided')"),
        ),
        Index("ix_case_file_owner", "account_id", "id"),
        Index("ix_case_file_silent", "due_on", postgresql_where=text("state = 'received'")),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    number: Mapped[str] = mapped_column(Text, unique=True)
    revision: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(Text)
    area_code: Mapped[str] = mapped_column(Text)
    department_code: Mapped[str] = mapped_column(Text)
    matter_id: Mapped[UUID] = mapped_column(Uuid)
    matter_version: Mapped[int] = mapped_column(Integer)
    matter_code: Mapped[str] = mapped_column(Text)
    matter_name: Mapped[str] = mapped_column(Text)
    matter_type: Mapped[str] = mapped_column(Text)
    immediate: Mapped[bool] = mapped_column(Boolean)
    promised_days: Mapped[int] = mapped_column(SmallInteger)
    legal_days: Mapped[int | None] = mapped_column(SmallInteger)
    license_type_code: Mapped[str | None] = mapped_column(Text)
    channel: Mapped[str] = mapped_column(Text)
    account_id: Mapped[UUID | None] = mapped_column(Uuid)
    applicant_kind: Mapped[str] = mapped_column(Text)
    applicant_name: Mapped[str] = mapped_column(Encrypted("case_file.applicant_name"))
    applicant_id_number: Mapped[str] = mapped_column(Encrypted("case_file.applicant_id_number"))
    applicant_id_hash: Mapped[bytes] = mapped_column(LargeBinary)
    phone: Mapped[str] = mapped_column(Encrypted("case_file.phone"))
    guide_digest: Mapped[str] = mapped_column(Text)
    guide: Mapped[dict[str, Any]] = mapped_column(JSONB)
    materials: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    intake_by: Mapped[str | None] = mapped_column(Text)
    reviewers: Mapped[list[str]] = mapped_column(ARRAY(Text))
    decided_by: Mapped[str | None] = mapped_column(Text)
    corrections: Mapped[int] = mapped_column(SmallInteger)
    missing: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    received_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    accepted_on: Mapped[date | None] = mapped_column(Date)
    due_on: Mapped[date] = mapped_column(Date)
    legal_due_on: Mapped[date | None] = mapped_column(Date)
    result: Mapped[str | None] = mapped_column(Text)
    reasons: Mapped[str | None] = mapped_column(Text)
    overdue: Mapped[bool] = mapped_column(Boolean)

    def _facts(self, at: Moment) -> dict[str, Any]:
        return {
            "case_id": self.id,
            "number": self.number,
            "area_code": self.area_code,
            "department_code": self.department_code,
            "matter_id": self.matter_id,
            "matter_code": self.matter_code,
            "matter_name": self.matter_name,
            "matter_type": self.matter_type,
            "immediate": self.immediate,
            "channel": self.channel,
            "applicant_kind": self.applicant_kind,
            "account_id": self.account_id,
            "revision": self.revision,
            "occurred_at": at.now,
        }

    def _begin(self, act: Act) -> None:
        """Refuse an act that the state does not allow, naming those it does; else count the change."""
        if self.state not in ALLOWED[act]:
            allowed = sorted(other for other, states in ALLOWED.items() if self.state in states)
            raise ConflictError(
                f"the case is {self.state}; {act} is not possible now", extra={"state": self.state, "allowed": allowed}
            )
        self.revision += 1

    def submitted(self, at: Moment) -> CaseSubmitted:
        """申请 with all materials: received in the same moment."""
        return CaseSubmitted(**self._facts(at))

    def receive(self, at: Moment) -> CaseReceived:
        """收件: the acceptance clock of five working days starts."""
        self.revision += 1
        self.state, self.due_on = State.RECEIVED, at.after(ACCEPTANCE_DAYS)
        return CaseReceived(**self._facts(at), received_on=at.today, acceptance_due_on=self.due_on)

    def accept(self, officer: str, at: Moment) -> CaseAccepted:
        """受理: the handling clocks start."""
        self._begin(Act.ACCEPT)
        self.intake_by = self.intake_by or officer
        return self._accepted(at.today, at, deemed=False)

    def deem_accepted(self, at: Moment) -> CaseAccepted:
        """视为受理: the organ was silent for five working days; the clocks run from the receipt date (art. 32)."""
        self._begin(Act.ACCEPT)
        return self._accepted(clock.local_date(self.received_at), at, deemed=True)

    def _accepted(self, on: date, at: Moment, *, deemed: bool) -> CaseAccepted:
        self.state, self.accepted_on = State.ACCEPTED, on
        self.due_on = at.calendar.add_working_days(on, self.promised_days)
        self.legal_due_on = None if self.legal_days is None else at.calendar.add_working_days(on, self.legal_days)
        return CaseAccepted(
            **self._facts(at),
            accepted_on=on,
            deemed=deemed,
            promised_due_on=self.due_on,
            legal_due_on=self.legal_due_on,
        )

    def refuse_acceptance(self, officer: str, reasons: str, at: Moment) -> tuple[CaseNotAccepted, CaseClosed]:
        """不予受理, with reasons and the remedies."""
        self._begin(Act.REFUSE_ACCEPTANCE)
        self.intake_by, self.reasons, self.result = self.intake_by or officer, f"{reasons}。{REMEDIES}", "6"
        fact = CaseNotAccepted(**self._facts(at), reason=reasons)
        return fact, self._close(State.NOT_ACCEPTED, at)

    def request_correction(self, officer: str, items: list[dict[str, Any]], at: Moment) -> CorrectionRequested:
        """补正: everything missing, told once; a second time is refused."""
        self._begin(Act.REQUEST_CORRECTION)
        if self.corrections:
            raise ConflictError("everything missing is told once (一次性告知); a second correction is not allowed")
        self.intake_by = self.intake_by or officer
        self.state, self.corrections, self.missing = State.CORRECTING, 1, items
        return CorrectionRequested(**self._facts(at), items=len(items))

    def correct(self, materials: list[dict[str, Any]], at: Moment) -> CaseReceived:
        """The applicant has supplied the gaps: the acceptance clock starts again."""
        self._begin(Act.CORRECT)
        replaced = {material["code"] for material in materials}
        self.materials = [m for m in self.materials if m["code"] not in replaced] + materials
        self.revision -= 1
        return self.receive(at)

    def review(self, officer: str) -> None:
        """审查: one reviewer's step; never the person of the intake, never twice the same."""
        self._begin(Act.REVIEW)
        if officer == self.intake_by:
            raise ForbiddenError("who took the case in does not review it (受审分离)")
        if officer in self.reviewers:
            raise ConflictError("you have reviewed this case; a second person must")
        self.reviewers = [*self.reviewers, officer]

    def decide(self, officer: str, result: str, reasons: str | None, at: Moment) -> CaseDecided:
        """决定 by a leader after review by two (one for 即办件)."""
        self._begin(Act.DECIDE)
        needed = 1 if self.immediate else 2
        if len(self.reviewers) < needed:
            raise ConflictError(f"{needed} reviewer(s) must have examined it (art. 34), {len(self.reviewers)} have")
        if officer in {self.intake_by, *self.reviewers}:
            raise ForbiddenError("intake, review and decision are different people")
        if result == "1":
            reasons = f"{reasons}。{REMEDIES}"
        self.state, self.decided_by, self.result, self.reasons = State.DECIDED, officer, result, reasons
        self.overdue = at.today > self.due_on
        self.due_on = at.after(DELIVERY_DAYS)
        licence = self.license_type_code if result == "0" else None
        return CaseDecided(
            **self._facts(at), result=result, decided_on=at.today, overdue=self.overdue, license_type_code=licence
        )

    def deliver(self, officer: str, method: str, at: Moment) -> tuple[ResultDelivered, CaseClosed]:
        """送达 by a third person: neither intake nor decision."""
        self._begin(Act.DELIVER)
        if officer in {self.intake_by, self.decided_by, *self.reviewers}:
            raise ForbiddenError("delivery is done by a third person")
        fact = ResultDelivered(**self._facts(at), method=method, delivered_on=at.today)  # pyright: ignore[reportArgumentType]
        return fact, self._close(State.CLOSED, at)

    def withdraw(self, at: Moment) -> tuple[CaseWithdrawn, CaseClosed]:
        """撤回 by the applicant before the decision."""
        self._begin(Act.WITHDRAW)
        return CaseWithdrawn(**self._facts(at)), self._close(State.WITHDRAWN, at)

    def give_back(self, reasons: str, at: Moment) -> CaseClosed:
        """退件: the gaps were never supplied."""
        self._begin(Act.RETURN)
        self.reasons, self.result = reasons, "5"
        return self._close(State.RETURNED, at)

    def _close(self, state: State, at: Moment) -> CaseClosed:
        self.state = state
        return CaseClosed(**self._facts(at), state=state, result=self.result, closed_on=at.today, overdue=self.overdue)


class TimelineRow(Base):
    """One step in the case's life, as its applicant may see it: which act, by which role, when."""

    __tablename__ = "case_step"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    case_id: Mapped[UUID] = mapped_column(ForeignKey("case_file.id"), index=True)
    act: Mapped[str] = mapped_column(Text)
    role: Mapped[str] = mapped_column(Text)
    note: Mapped[str | None] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class Upload(Base):
    """A file that somebody brought, stored by its digest."""

    __tablename__ = "upload"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    owner: Mapped[str] = mapped_column(Text)
    digest: Mapped[str] = mapped_column(Text)
    media_type: Mapped[str] = mapped_column(Text)
    size: Mapped[int] = mapped_column(Integer)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class ImportedCase(Base):
    """A case of a bureau's own system, at its newest version (办件推送)."""

    __tablename__ = "imported_case"

    area_code: Mapped[str] = mapped_column(Text, primary_key=True)
    department_code: Mapped[str] = mapped_column(Text, primary_key=True)
    source_system: Mapped[str] = mapped_column(Text, primary_key=True)
    source_number: Mapped[str] = mapped_column(Text, primary_key=True)
    case_id: Mapped[UUID] = mapped_column(Uuid, unique=True)
    version: Mapped[int] = mapped_column(Integer)
    revision: Mapped[int] = mapped_column(Integer)
    record: Mapped[dict[str, Any]] = mapped_column(JSONB)
    imported_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class CalendarDay(Base):
    """A day that differs from Monday to Friday."""

    __tablename__ = "calendar_day"

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    is_working: Mapped[bool] = mapped_column(Boolean)
    note: Mapped[str] = mapped_column(Text)


def missing_materials(guide: dict[str, Any], given: set[str]) -> list[FieldError]:
    """Every required material that is not there, and every one that nobody asked for."""
    asked = {material["code"]: material for material in guide["materials"]}
    faults = [
        FieldError(f"materials.{code}", "required", f"{material['name']['zh']} is required")
        for code, material in asked.items()
        if material["necessity"] == "1" and code not in given
    ]
    unknown = "your personal guide does not ask for this material"
    return faults + [FieldError(f"materials.{code}", "asked", unknown) for code in sorted(given - set(asked))]
