"""The case and the rules of its life (行政许可法 arts 32–45; norms §3).

Every act is one method: it checks that the state allows it and who may do it, changes the case, raises its revision by one,
and returns the fact. Pure: time and calendar are passed in.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Boolean,
    Date,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.cases.case_file.model.clocks import Clocks, Lamp, burning, next_day
from services.cases.case_file.model.license_copies import (
    LicenseCopy,
    is_license,
    lapsed_status,
    reassess,
)
from services.cases.case_file.model.materials import gap_days, is_promised
from services.cases.case_file.model.states import ALLOWED, IS_OPEN, Act, State
from services.cases.model_base import PLACE, Base
from shared.domain.workdays import Moment, WorkCalendar
from shared.errors import ConflictError, ForbiddenError
from shared.events.cases import (
    CaseAccepted,
    CaseClosed,
    CaseDecided,
    CaseDueChanged,
    CaseExtended,
    CaseLicenseUsed,
    CaseMaterialLapsed,
    CaseNotAccepted,
    CaseReceived,
    CaseResumed,
    CaseSubmitted,
    CaseSuspended,
    CaseWithdrawn,
    CorrectionRequested,
    ResultDelivered,
)
from shared.security.crypto import Encrypted, seal_for

ACCEPTANCE_DAYS = 5
DELIVERY_DAYS = 10
REMEDIES = "不服本决定的, 可依法申请行政复议或者提起行政诉讼"
"""The right to 复议 and 诉讼 that every refusal states (art. 38)."""


class Case(Base):
    """One application from receipt to delivery. Personal data is encrypted.

    The due dates follow from `clock_from` and the working days of each clock, so that a change of the calendar, an
    extension and a suspension are all the same small sum. `watch_on` is the next day on which a light may go on: the
    timer asks one narrow index for the rows of that day instead of looking through all open cases. `officer` acted last.
    While a child of a one-thing application waits, no clock runs: `received_at` and the due dates mean nothing yet.
    """

    __tablename__ = "case_file"
    __table_args__ = (
        Index("ix_case_file_work", *PLACE, "due_on", "id", postgresql_where=text(IS_OPEN)),
        Index(
            "ix_case_file_work_state",
            *PLACE,
            "state",
            "due_on",
            "id",
            postgresql_where=text(IS_OPEN),
        ),
        Index(
            "ix_case_file_officer",
            "officer",
            *PLACE,
            "due_on",
            "id",
            postgresql_where=text(IS_OPEN),
        ),
        Index("ix_case_file_owner", "account_id", "id"),
        Index("ix_case_file_silent", "due_on", postgresql_where=text("state = 'received'")),
        Index(
            "ix_case_file_bundle",
            "bundle_case_id",
            postgresql_where=text("bundle_case_id IS NOT NULL"),
        ),
        Index("ix_case_file_watch", "watch_on", postgresql_where=text("watch_on IS NOT NULL")),
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
    clock_from: Mapped[date] = mapped_column(Date)
    due_days: Mapped[int] = mapped_column(SmallInteger)
    due_on: Mapped[date] = mapped_column(Date)
    legal_due_days: Mapped[int | None] = mapped_column(SmallInteger)
    legal_due_on: Mapped[date | None] = mapped_column(Date)
    step_due_days: Mapped[int | None] = mapped_column(SmallInteger)
    step_due_on: Mapped[date | None] = mapped_column(Date)
    gap_days: Mapped[int | None] = mapped_column(SmallInteger)
    gap_due_on: Mapped[date | None] = mapped_column(Date)
    watch_on: Mapped[date | None] = mapped_column(Date)
    deemed: Mapped[bool] = mapped_column(Boolean)
    suspension: Mapped[str | None] = mapped_column(Text)
    suspended_on: Mapped[date | None] = mapped_column(Date)
    extended_days: Mapped[int] = mapped_column(SmallInteger)
    officer: Mapped[str | None] = mapped_column(Text)
    result: Mapped[str | None] = mapped_column(Text)
    reasons: Mapped[str | None] = mapped_column(Text)
    overdue: Mapped[bool] = mapped_column(Boolean)
    bundle_case_id: Mapped[UUID | None] = mapped_column(Uuid)

    def facts(self, at: Moment) -> dict[str, Any]:
        """What every event about it tells."""
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
            "bundle_case_id": self.bundle_case_id,
            "revision": self.revision,
            "occurred_at": at.now,
        }

    def allowed(self, today: date) -> list[Act]:
        """What can be done to it; what only a promised or lapsed material makes possible only while there is one."""
        acts = {act for act, states in ALLOWED.items() if self.state in states}
        lapsed = self.lapsed(today)
        if self.state != State.CORRECTING and not self.gaps:
            acts -= {Act.RETURN} if lapsed else {Act.RETURN, Act.SUPPLY}
        if self.state == State.ACCEPTED and not lapsed:
            acts -= {Act.REQUEST_CORRECTION}
        return sorted(acts)

    def _begin(self, act: Act, at: Moment) -> None:
        """Refuse an act that the state does not allow, naming those it does; else count the change."""
        if act not in (allowed := self.allowed(at.today)):
            raise ConflictError(
                f"the case is {self.state}; {act} is not possible now",
                extra={"state": self.state, "allowed": allowed},
            )
        self.revision += 1

    def clocks(self) -> Clocks:
        """What the lights look at."""
        return Clocks(
            self.state,
            self.clock_from,
            self.due_on,
            self.legal_due_on,
            self.step,
            self.step_due_on,
            self.deemed,
        )

    @property
    def reviewers_needed(self) -> int:
        """Two examine it (art. 34), one a 即办件."""
        return 1 if self.immediate else 2

    @property
    def step(self) -> str | None:
        """办理环节: the role whose step of the guide is running."""
        match self.state:
            case State.RECEIVED:
                return "intake"
            case State.ACCEPTED:
                return "review" if len(self.reviewers) < self.reviewers_needed else "decision"
            case State.DECIDED:
                return "delivery"
            case _:
                return None

    def lamps(self, at: Moment) -> set[Lamp]:
        """The lights that burn over it."""
        return burning(self.clocks(), at.today, at.calendar)

    def watch(self, at: Moment, *, settled: bool = False) -> None:
        """When the timer must look again: now if a light burns that it may not know (unless `settled`), else the next day."""
        now = not settled and bool(self.lamps(at))
        self.watch_on = at.today if now else next_day(self.clocks(), at.today, at.calendar)

    def set_dues(self, calendar: WorkCalendar) -> None:
        """The last days of the running clocks."""
        self.due_on = calendar.add_working_days(self.clock_from, self.due_days)
        if self.legal_due_days is not None:
            self.legal_due_on = calendar.add_working_days(self.clock_from, self.legal_due_days)
        if self.gap_days is not None:
            self.gap_due_on = calendar.add_working_days(self.clock_from, self.gap_days)
        days = self.step_due_days
        self.step_due_on = (
            None if days is None else calendar.add_working_days(self.clock_from, days)
        )

    def _start_clocks(self, on: date, days: int, legal_days: int | None, at: Moment) -> None:
        self.clock_from, self.due_days, self.legal_due_days = on, days, legal_days
        self._start_step(on, at)

    def _start_step(self, on: date, at: Moment) -> None:
        """The step's own days count from `on`; a step without days in the guide has no clock."""
        days = sum(step["days"] for step in self.guide["steps"] if step["role"] == self.step)
        gone = at.calendar.working_days_between(self.clock_from, on)
        self.step_due_days = gone + days if days else None
        self._clocks_moved(at)

    def _move_clocks(self, days: int, at: Moment) -> None:
        self.due_days += days
        self.legal_due_days = None if self.legal_due_days is None else self.legal_due_days + days
        self.step_due_days = None if self.step_due_days is None else self.step_due_days + days
        self._clocks_moved(at)

    def _clocks_moved(self, at: Moment) -> None:
        self.set_dues(at.calendar)
        self.watch(at)

    def submitted(self, at: Moment) -> CaseSubmitted:
        """申请 with all materials: received in the same moment."""
        return CaseSubmitted(**self.facts(at))

    def receive(self, at: Moment) -> CaseReceived:
        """收件: the acceptance clock of five working days starts."""
        self.revision += 1
        self.state = State.RECEIVED
        self._start_clocks(at.today, ACCEPTANCE_DAYS, None, at)
        return CaseReceived(
            **self.facts(at),
            received_on=at.today,
            acceptance_due_on=self.due_on,
            license_materials=sum(
                material["license_type_code"] is not None for material in self.guide["materials"]
            ),
            licenses_used=sum(map(is_license, self.materials)),
        )

    def wait(self, at: Moment) -> CaseSubmitted:
        """A child of a bundle that waits for another: applied for, not received, no clock."""
        self.revision += 1
        self.state, self.clock_from, self.due_days, self.due_on = (
            State.WAITING,
            at.today,
            0,
            at.today,
        )
        return self.submitted(at)

    def receive_waiting(self, results: list[dict[str, Any]], at: Moment) -> CaseReceived:
        """收件 of a child whose time has come, with the results of the others as its materials."""
        self.materials, self.received_at = [*self.materials, *results], at.now
        return self.receive(at)

    def give_up_waiting(self, reasons: str, at: Moment) -> CaseClosed:
        """退件 of a child that waited for what will not come."""
        self.revision += 1
        self.reasons, self.result = reasons, "5"
        return self._close(State.RETURNED, at)

    def accept(self, officer: str, at: Moment) -> CaseAccepted:
        """受理: the handling clocks start."""
        self._begin(Act.ACCEPT, at)
        self.intake_by = self.intake_by or officer
        return self._accepted(at.today, at)

    def deem_accepted(self, at: Moment) -> CaseAccepted:
        """视为受理: the organ was silent for five working days; the clocks run from the receipt date (art. 32)."""
        self._begin(Act.ACCEPT, at)
        self.deemed = True
        return self._accepted(self.clock_from, at)

    def _accepted(self, on: date, at: Moment) -> CaseAccepted:
        self.state, self.accepted_on = State.ACCEPTED, on
        self.gap_days = gap_days(self.promised_days) if self.gaps else None
        self._start_clocks(on, self.promised_days, self.legal_days, at)
        return CaseAccepted(
            **self.facts(at),
            **self._dues(),
            accepted_on=on,
            deemed=self.deemed,
            contact=self._contact(),
        )

    def _dues(self) -> dict[str, Any]:
        return {"promised_due_on": self.due_on, "legal_due_on": self.legal_due_on}

    def refuse_acceptance(
        self, officer: str, reasons: str, at: Moment
    ) -> tuple[CaseNotAccepted, CaseClosed]:
        """不予受理, with reasons and the remedies."""
        self._begin(Act.REFUSE_ACCEPTANCE, at)
        self.intake_by, self.reasons, self.result = (
            self.intake_by or officer,
            f"{reasons}。{REMEDIES}",
            "6",
        )
        fact = CaseNotAccepted(**self.facts(at), reason=reasons)
        return fact, self._close(State.NOT_ACCEPTED, at)

    def request_correction(
        self, officer: str, items: list[dict[str, Any]], at: Moment
    ) -> CorrectionRequested:
        """补正: everything missing, told once; a second time is refused, except for what has lapsed since.

        A licence that is no evidence any more is a new ground, also after acceptance; then the clock stands still until
        the applicant has replaced it.
        """
        self._begin(Act.REQUEST_CORRECTION, at)
        is_new_ground = {item["material_code"] for item in items} <= self.lapsed(at.today).keys()
        if self.state == State.ACCEPTED and not is_new_ground:
            words = "after acceptance only what has lapsed is asked for again"
            raise ConflictError(words, extra={"lapsed": sorted(self.lapsed(at.today))})
        if self.corrections and not is_new_ground:
            raise ConflictError(
                "everything missing is told once (一次性告知); a second correction is not allowed"
            )
        if self.state == State.RECEIVED:
            self.intake_by = self.intake_by or officer
        else:
            self.suspended_on = at.today
        self.corrections = self.corrections if is_new_ground else 1
        self.state, self.missing = State.CORRECTING, items
        self.watch(at)
        return CorrectionRequested(**self.facts(at), items=len(items))

    def correct(self, materials: list[dict[str, Any]], at: Moment) -> CaseReceived | CaseResumed:
        """The applicant has supplied the gaps: the acceptance clock starts again, that of an accepted case goes on."""
        self._begin(Act.CORRECT, at)
        self._replace(materials)
        asked = {item["material_code"] for item in self.missing}
        if left := sorted(asked & self.lapsed(at.today).keys()):
            raise ConflictError(
                f"lapsed and not replaced: {', '.join(left)}", extra={"lapsed": left}
            )
        if self.accepted_on is not None:
            return self._resumed(at)
        self.revision -= 1
        return self.receive(at)

    def supply(self, materials: list[dict[str, Any]], at: Moment) -> None:
        """容缺后补: the applicant brings what was promised, or replaces what has lapsed, and nothing else."""
        self._begin(Act.SUPPLY, at)
        lapsed = self.lapsed(at.today)
        other = sorted({material["code"] for material in materials} - {*self.gaps, *lapsed})
        if other:
            raise ConflictError(
                f"neither promised nor lapsed: {', '.join(other)}",
                extra={"promised": self.gaps, "lapsed": sorted(lapsed)},
            )
        self._replace(materials)
        if not self.gaps:
            self.gap_days = self.gap_due_on = None

    @property
    def gaps(self) -> list[str]:
        """Codes of the materials promised and not brought yet."""
        return [material["code"] for material in self.materials if is_promised(material)]

    def lapsed(self, today: date) -> dict[str, str]:
        """The materials whose licence is no evidence any more: code and the licence's status."""
        found = {material["code"]: lapsed_status(material, today) for material in self.materials}
        return {code: status for code, status in found.items() if status is not None}

    def recheck(
        self, licenses: Mapping[UUID, LicenseCopy], at: Moment
    ) -> tuple[list[CaseMaterialLapsed], list[str]]:
        """Follow the newest state of licences that it uses: the facts of what lapsed, the codes of what holds again."""
        before = self.materials
        after = [
            reassess(one, licenses[license_id], at.today)
            if is_license(one) and (license_id := UUID(one["license_id"])) in licenses
            else one
            for one in before
        ]
        if after == before:
            return [], []
        self.revision, self.materials = self.revision + 1, after
        pairs = [
            (new, old.get("lapsed"))
            for old, new in zip(before, after, strict=True)
            if is_license(new)
        ]
        lapsed = [
            CaseMaterialLapsed(
                **self.facts(at),
                license_id=new["license_id"],
                material_code=new["code"],
                status=new["lapsed"],
            )
            for new, was in pairs
            if new.get("lapsed") not in {None, was}
        ]
        return lapsed, [new["code"] for new, was in pairs if was and not new.get("lapsed")]

    def uses(
        self, materials: Iterable[dict[str, Any]], operator: str, at: Moment
    ) -> list[CaseLicenseUsed]:
        """用证: the fact of each of these materials that a licence meets."""
        names = {material["code"]: material["name"]["zh"] for material in self.guide["materials"]}
        return [
            CaseLicenseUsed(
                **self.facts(at),
                license_id=one["license_id"],
                license_type_code=one["type_code"],
                material_code=one["code"],
                digest=one["digest"],
                operator=operator,
                reason=f"{self.matter_name}: {names[one['code']]}"[:200],
            )
            for one in materials
            if is_license(one)
        ]

    def _replace(self, materials: list[dict[str, Any]]) -> None:
        replaced = {material["code"] for material in materials}
        self.materials = [m for m in self.materials if m["code"] not in replaced] + materials

    def review(self, officer: str, at: Moment) -> None:
        """审查: one reviewer's step; never the person of the intake, never twice the same."""
        self._begin(Act.REVIEW, at)
        if officer == self.intake_by:
            raise ForbiddenError("who took the case in does not review it (受审分离)")
        if officer in self.reviewers:
            raise ConflictError("you have reviewed this case; a second person must")
        self.reviewers = [*self.reviewers, officer]
        if len(self.reviewers) == self.reviewers_needed:
            self._start_step(at.today, at)

    def suspend(self, kind: str, planned_days: int, at: Moment) -> CaseSuspended:
        """特别程序: the clocks stand still while it runs (art. 45)."""
        self._begin(Act.SUSPEND, at)
        self.state, self.suspension, self.suspended_on = State.SUSPENDED, kind, at.today
        self.watch(at)
        return CaseSuspended(**self.facts(at), kind=kind, planned_days=planned_days)

    def resume(self, at: Moment) -> CaseResumed:
        """The clocks go on: due dates move by the working days that the special procedure really took."""
        self._begin(Act.RESUME, at)
        return self._resumed(at)

    def _resumed(self, at: Moment) -> CaseResumed:
        assert self.suspended_on is not None
        days = at.calendar.working_days_between(self.suspended_on, at.today)
        self.state, self.suspended_on = State.ACCEPTED, None
        self._move_clocks(days, at)
        return CaseResumed(**self.facts(at), **self._dues())

    def extend(self, days: int, at: Moment) -> CaseExtended:
        """延期 by the organ's head, once, while the time is not over (art. 42)."""
        self._begin(Act.EXTEND, at)
        if self.extended_days:
            raise ConflictError(
                f"extended by {self.extended_days} days already; a second extension is not allowed"
            )
        if at.today > (self.legal_due_on or self.due_on):
            raise ConflictError("its time is over; an extension is decided before that")
        self.extended_days = days
        self._move_clocks(days, at)
        return CaseExtended(**self.facts(at), **self._dues(), days=days)

    def follow_calendar(self, at: Moment) -> CaseDueChanged | None:
        """Due dates by the present calendar; the fact when the case's own or the statutory one has moved."""
        before = self.clocks()
        self.set_dues(at.calendar)
        after = self.clocks()
        if after == before:
            self.watch(at)
        else:
            self.watch_on = (
                at.today
            )  # A light over the old days may have to go out, though none burns by the new.
        if (after.due_on, after.legal_due_on) == (before.due_on, before.legal_due_on):
            return None
        self.revision += 1
        return CaseDueChanged(
            **self.facts(at),
            due_on=self.due_on,
            legal_due_on=self.legal_due_on,
            previous_due_on=before.due_on,
        )

    def decide(self, officer: str, result: str, reasons: str | None, at: Moment) -> CaseDecided:
        """决定 by a leader after review by two (one for 即办件)."""
        self._begin(Act.DECIDE, at)
        if len(self.reviewers) < self.reviewers_needed:
            words = f"{self.reviewers_needed} reviewer(s) must have examined it (art. 34), {len(self.reviewers)} have"
            raise ConflictError(words)
        if officer in {self.intake_by, *self.reviewers}:
            raise ForbiddenError("intake, review and decision are different people")
        if self.gaps:
            words = "no result until the promised materials are there (容缺)"
            raise ConflictError(words, extra={"promised": self.gaps})
        if result == "0" and (lapsed := self.lapsed(at.today)):
            words = f"no licence meets these any more: {', '.join(sorted(lapsed))}; ask the applicant to replace them"
            raise ConflictError(
                words, extra={"lapsed": [{"code": c, "status": s} for c, s in lapsed.items()]}
            )
        if result == "1":
            reasons = f"{reasons}。{REMEDIES}"
        self.state, self.decided_by, self.result, self.reasons = (
            State.DECIDED,
            officer,
            result,
            reasons,
        )
        self.overdue = at.today > self.due_on
        self._start_clocks(at.today, DELIVERY_DAYS, None, at)
        licence = self.license_type_code if result == "0" else None
        return CaseDecided(
            **self.facts(at),
            result=result,
            decided_on=at.today,
            overdue=self.overdue,
            license_type_code=licence,
            holder=self._holder() if licence else None,
        )

    def _contact(self) -> str:
        """Whom ratings may ask for a judgement, for its eyes alone."""
        return seal_for({"name": self.applicant_name, "phone": self.phone}, "case.contact")

    def _holder(self) -> str:
        """To whom licenses must issue, for its eyes alone."""
        holder = {
            "kind": self.applicant_kind,
            "name": self.applicant_name,
            "id_number": self.applicant_id_number,
        }
        return seal_for({**holder, "phone": self.phone}, "case.holder")

    def deliver(self, officer: str, method: str, at: Moment) -> tuple[ResultDelivered, CaseClosed]:
        """送达 by a third person: neither intake nor decision."""
        self._begin(Act.DELIVER, at)
        if officer in {self.intake_by, self.decided_by, *self.reviewers}:
            raise ForbiddenError("delivery is done by a third person")
        fact = ResultDelivered(**self.facts(at), method=method, delivered_on=at.today)  # pyright: ignore[reportArgumentType]
        return fact, self._close(State.CLOSED, at)

    def withdraw(self, at: Moment) -> tuple[CaseWithdrawn, CaseClosed]:
        """撤回 by the applicant before the decision."""
        self._begin(Act.WITHDRAW, at)
        return CaseWithdrawn(**self.facts(at)), self._close(State.WITHDRAWN, at)

    def give_back(self, reasons: str, at: Moment) -> CaseClosed:
        """退件: the corrections asked for, or the materials promised, were never supplied."""
        self._begin(Act.RETURN, at)
        if self.gap_due_on is not None and at.today <= self.gap_due_on:
            raise ConflictError(f"the promised materials may come until {self.gap_due_on}")
        self.reasons, self.result = reasons, "5"
        return self._close(State.RETURNED, at)

    def _close(self, state: State, at: Moment) -> CaseClosed:
        self.state = state
        self.watch(at)
        return CaseClosed(
            **self.facts(at),
            state=state,
            result=self.result,
            closed_on=at.today,
            overdue=self.overdue,
            contact=self._contact(),
        )
