"""The case and the rules of its life (行政许可法 arts 32–45; norms §3).

Every act is one method. It checks that the state allows the act and who may do it, changes the
case, raises its revision by one, and returns the events to be published. No method asks for the
time or the calendar: both are passed in as a `Moment`.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Literal, TypedDict
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
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from services.cases.case_file.model.clocks import Clocks, LightKey, next_day, raised_lights
from services.cases.case_file.model.enums import (
    ApplicantKind,
    CaseResult,
    Channel,
    LicenseStatus,
    SpecialProcedure,
    StepRole,
)
from services.cases.case_file.model.materials import (
    CorrectionItem,
    FromLicense,
    LicenseCopy,
    Promised,
    StoredMaterial,
    gap_days,
    licenses_among,
    recheck_material,
)
from services.cases.case_file.model.states import ALLOWED, IS_OPEN, CaseAct, State
from services.cases.model_base import PLACE, Base
from shared.database.columns import enum_column, json_column
from shared.domain.codes import MatterType
from shared.domain.guides import MatterKind, PersonalGuide
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
"""Working days in which the organ must accept or refuse (art. 32)."""
DELIVERY_DAYS = 10
"""Working days in which a decision must reach the applicant (art. 44)."""
REMEDIES = "不服本决定的, 可依法申请行政复议或者提起行政诉讼"
"""The right to 复议 and 诉讼 that every refusal states (art. 38)."""
LONGEST_USE_REASON = 200
"""Characters of the reason that goes into the log of a license."""

DeliveryMethod = Literal["window", "post", "online"]


class CaseFacts(TypedDict):
    """What every event about a case says."""

    case_id: UUID
    number: str
    area_code: str
    department_code: str
    matter_id: UUID
    matter_code: str
    matter_name: str
    matter_type: MatterKind
    immediate: bool
    channel: Literal["pc", "mobile", "window", "kiosk"]
    applicant_kind: Literal["person", "organisation"]
    account_id: UUID | None
    bundle_case_id: UUID | None
    revision: int
    occurred_at: datetime


class DueFacts(TypedDict):
    """The last days of the handling clocks, for events."""

    promised_due_on: date
    legal_due_on: date | None


class Case(Base):
    """One application from receipt to delivery. Personal data is encrypted.

    Due dates follow from `clock_from` and the working days of each clock (`…_days`). A change of
    the calendar, an extension and a suspension therefore only change days and compute again.
    `watch_on` is the next day on which a light may go on: the timer reads the rows of that day from
    one narrow index instead of looking through all open cases. `officer` is who acted last. While a
    child of a bundle waits, no clock runs: `received_at` and the due dates mean nothing yet.
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
    state: Mapped[State] = enum_column(State)
    area_code: Mapped[str] = mapped_column(Text)
    department_code: Mapped[str] = mapped_column(Text)
    matter_id: Mapped[UUID] = mapped_column(Uuid)
    matter_version: Mapped[int] = mapped_column(Integer)
    matter_code: Mapped[str] = mapped_column(Text)
    matter_name: Mapped[str] = mapped_column(Text)
    matter_type: Mapped[MatterType] = enum_column(MatterType)
    immediate: Mapped[bool] = mapped_column(Boolean)
    promised_days: Mapped[int] = mapped_column(SmallInteger)
    legal_days: Mapped[int | None] = mapped_column(SmallInteger)
    license_type_code: Mapped[str | None] = mapped_column(Text)
    channel: Mapped[Channel] = enum_column(Channel)
    account_id: Mapped[UUID | None] = mapped_column(Uuid)
    applicant_kind: Mapped[ApplicantKind] = enum_column(ApplicantKind)
    applicant_name: Mapped[str] = mapped_column(Encrypted("case_file.applicant_name"))
    applicant_id_number: Mapped[str] = mapped_column(Encrypted("case_file.applicant_id_number"))
    applicant_id_hash: Mapped[bytes] = mapped_column(LargeBinary)
    phone: Mapped[str] = mapped_column(Encrypted("case_file.phone"))
    guide_digest: Mapped[str] = mapped_column(Text)
    guide: Mapped[PersonalGuide] = json_column(PersonalGuide)
    materials: Mapped[list[StoredMaterial]] = json_column(list[StoredMaterial])
    intake_by: Mapped[str | None] = mapped_column(Text)
    reviewers: Mapped[list[str]] = mapped_column(ARRAY(Text))
    decided_by: Mapped[str | None] = mapped_column(Text)
    corrections: Mapped[int] = mapped_column(SmallInteger)
    missing: Mapped[list[CorrectionItem]] = json_column(list[CorrectionItem])
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
    suspension: Mapped[SpecialProcedure | None] = enum_column(SpecialProcedure)
    suspended_on: Mapped[date | None] = mapped_column(Date)
    extended_days: Mapped[int] = mapped_column(SmallInteger)
    officer: Mapped[str | None] = mapped_column(Text)
    result: Mapped[CaseResult | None] = enum_column(CaseResult)
    reasons: Mapped[str | None] = mapped_column(Text)
    overdue: Mapped[bool] = mapped_column(Boolean)
    bundle_case_id: Mapped[UUID | None] = mapped_column(Uuid)

    def facts(self, at: Moment) -> CaseFacts:
        """What every event about the case says."""
        return CaseFacts(
            case_id=self.id,
            number=self.number,
            area_code=self.area_code,
            department_code=self.department_code,
            matter_id=self.matter_id,
            matter_code=self.matter_code,
            matter_name=self.matter_name,
            matter_type=self.matter_type.value,
            immediate=self.immediate,
            channel=self.channel.value,
            applicant_kind=self.applicant_kind.value,
            account_id=self.account_id,
            bundle_case_id=self.bundle_case_id,
            revision=self.revision,
            occurred_at=at.now,
        )

    # What the state allows

    def allowed(self, today: date) -> list[CaseAct]:
        """The acts that are possible now, in alphabetical order.

        What only a promised or lapsed material makes possible is left out while there is none.
        """
        acts = {act for act, states in ALLOWED.items() if self.state in states}
        lapsed = self.lapsed(today)
        if self.state is not State.CORRECTING and not self.gaps:
            acts.discard(CaseAct.RETURN)
            if not lapsed:
                acts.discard(CaseAct.SUPPLY)
        if self.state is State.ACCEPTED and not lapsed:
            acts.discard(CaseAct.REQUEST_CORRECTION)
        return sorted(acts)

    def _begin(self, act: CaseAct, at: Moment) -> None:
        """Count the change.

        Raises `ConflictError`, naming the acts that are possible, when the state forbids this one.
        """
        allowed = self.allowed(at.today)
        if act not in allowed:
            raise ConflictError(
                "the case is {state}; {act} is not possible now",
                state=self.state.value,
                act=act.value,
                extra={"state": self.state, "allowed": allowed},
            )
        self.revision += 1

    @property
    def reviewers_needed(self) -> int:
        """Two people examine a case (art. 34), one is enough for a 即办件."""
        if self.immediate:
            return 1
        return 2

    @property
    def step(self) -> StepRole | None:
        """办理环节: the role whose step of the guide is running."""
        match self.state:
            case State.RECEIVED:
                return StepRole.INTAKE
            case State.ACCEPTED if len(self.reviewers) < self.reviewers_needed:
                return StepRole.REVIEW
            case State.ACCEPTED:
                return StepRole.DECISION
            case State.DECIDED:
                return StepRole.DELIVERY
            case _:
                return None

    # Clocks and lights

    def clocks(self) -> Clocks:
        """What the rules of lights look at."""
        return Clocks(
            state=self.state,
            clock_from=self.clock_from,
            due_on=self.due_on,
            legal_due_on=self.legal_due_on,
            step=self.step,
            step_due_on=self.step_due_on,
            deemed=self.deemed,
        )

    def raised_lights(self, at: Moment) -> set[LightKey]:
        """The lights that must be raised over the case now."""
        return raised_lights(self.clocks(), at.today, calendar=at.calendar)

    def schedule_light_check(self, at: Moment, *, lights_are_current: bool = False) -> None:
        """Set the day on which the timer looks at the lights of the case again.

        That is today if a light must be raised, unless `lights_are_current`: the caller has just
        raised and cleared them. Otherwise it is the next day on which a light goes on.
        """
        if not lights_are_current and self.raised_lights(at):
            self.watch_on = at.today
        else:
            self.watch_on = next_day(self.clocks(), at.today, calendar=at.calendar)

    def set_due_dates(self, calendar: WorkCalendar) -> None:
        """Compute the last days of the running clocks."""
        self.due_on = calendar.add_working_days(self.clock_from, self.due_days)
        if self.legal_due_days is not None:
            self.legal_due_on = calendar.add_working_days(self.clock_from, self.legal_due_days)
        if self.gap_days is not None:
            self.gap_due_on = calendar.add_working_days(self.clock_from, self.gap_days)
        self.step_due_on = None
        if self.step_due_days is not None:
            self.step_due_on = calendar.add_working_days(self.clock_from, self.step_due_days)

    def _start_clocks(
        self, start: date, days: int, *, at: Moment, legal_days: int | None = None
    ) -> None:
        self.clock_from = start
        self.due_days = days
        self.legal_due_days = legal_days
        self._start_step(start, at)

    def _start_step(self, start: date, at: Moment) -> None:
        """Start the clock of the running step; a step without days in the guide has none."""
        days = sum(step.days for step in self.guide.steps if step.role == self.step)
        self.step_due_days = None
        if days:
            # All clocks count from `clock_from`, also that of a step that begins later.
            elapsed = at.calendar.working_days_between(self.clock_from, end=start)
            self.step_due_days = elapsed + days
        self._clocks_changed(at)

    def _extend_clocks(self, days: int, at: Moment) -> None:
        self.due_days += days
        if self.legal_due_days is not None:
            self.legal_due_days += days
        if self.step_due_days is not None:
            self.step_due_days += days
        self._clocks_changed(at)

    def _clocks_changed(self, at: Moment) -> None:
        self.set_due_dates(at.calendar)
        self.schedule_light_check(at)

    def follow_calendar(self, at: Moment) -> CaseDueChanged | None:
        """Compute the due dates by the present calendar.

        Returns an event when the case's own due date or the statutory one has moved.
        """
        before = self.clocks()
        self.set_due_dates(at.calendar)
        after = self.clocks()
        if after == before:
            self.schedule_light_check(at)
        else:
            # A light over the old days may have to go out, even if none is raised by the new.
            self.watch_on = at.today
        if after.due_on == before.due_on and after.legal_due_on == before.legal_due_on:
            return None
        self.revision += 1
        return CaseDueChanged(
            **self.facts(at),
            due_on=self.due_on,
            legal_due_on=self.legal_due_on,
            previous_due_on=before.due_on,
        )

    # Receipt

    def submitted(self, at: Moment) -> CaseSubmitted:
        """The application (申请) has come, with all materials."""
        return CaseSubmitted(**self.facts(at))

    def submit(self, at: Moment) -> tuple[CaseSubmitted, CaseReceived]:
        """The application is received in the moment in which it comes (申请, 收件)."""
        # Both events carry the revision after the receipt, so the order of the calls matters.
        received = self.receive(at)
        return self.submitted(at), received

    def receive(self, at: Moment) -> CaseReceived:
        """Receipt (收件): the acceptance clock of five working days starts."""
        self.revision += 1
        self.state = State.RECEIVED
        self._start_clocks(at.today, ACCEPTANCE_DAYS, at=at)
        asked = [material for material in self.guide.materials if material.license_type_code]
        return CaseReceived(
            **self.facts(at),
            received_on=at.today,
            acceptance_due_on=self.due_on,
            license_materials=len(asked),
            licenses_used=len(licenses_among(self.materials)),
        )

    def wait(self, at: Moment) -> CaseSubmitted:
        """A child of a bundle that waits for another: applied for, not received, no clock runs."""
        self.revision += 1
        self.state = State.WAITING
        self.clock_from = at.today
        self.due_days = 0
        self.due_on = at.today
        return self.submitted(at)

    def receive_waiting(self, results: Sequence[StoredMaterial], at: Moment) -> CaseReceived:
        """Receipt of a child that has waited; `results` of others are materials of this one."""
        self.materials = [*self.materials, *results]
        self.received_at = at.now
        return self.receive(at)

    def give_up_waiting(self, reasons: str, at: Moment) -> CaseClosed:
        """Return (退件) of a child that waited for something that will not come."""
        self.revision += 1
        self.reasons = reasons
        self.result = CaseResult.RETURNED
        return self._close(State.RETURNED, at)

    # Acceptance

    def accept(self, officer: str, at: Moment) -> CaseAccepted:
        """受理: the handling clocks start."""
        self._begin(CaseAct.ACCEPT, at)
        # Whoever took the application in at a window stays the person of the intake.
        self.intake_by = self.intake_by or officer
        return self._accepted(at.today, at)

    def deem_accepted(self, at: Moment) -> CaseAccepted:
        """视为受理: the organ was silent for five working days.

        The clocks run from the date of receipt (art. 32).
        """
        self._begin(CaseAct.ACCEPT, at)
        self.deemed = True
        return self._accepted(self.clock_from, at)

    def _accepted(self, day: date, at: Moment) -> CaseAccepted:
        self.state = State.ACCEPTED
        self.accepted_on = day
        self.gap_days = None
        if self.gaps:
            self.gap_days = gap_days(self.promised_days)
        self._start_clocks(day, self.promised_days, legal_days=self.legal_days, at=at)
        return CaseAccepted(
            **self.facts(at),
            **self._due_facts(),
            accepted_on=day,
            deemed=self.deemed,
            contact=self._sealed_contact(),
        )

    def _due_facts(self) -> DueFacts:
        return DueFacts(promised_due_on=self.due_on, legal_due_on=self.legal_due_on)

    def refuse_acceptance(
        self, officer: str, *, reasons: str, at: Moment
    ) -> tuple[CaseNotAccepted, CaseClosed]:
        """不予受理, with reasons and the remedies."""
        self._begin(CaseAct.REFUSE_ACCEPTANCE, at)
        self.intake_by = self.intake_by or officer
        self.reasons = _with_remedies(reasons)
        self.result = CaseResult.NOT_ACCEPTED
        refused = CaseNotAccepted(**self.facts(at), reason=reasons)
        return refused, self._close(State.NOT_ACCEPTED, at)

    # Corrections and supplements

    def request_correction(
        self, officer: str, items: list[CorrectionItem], *, at: Moment
    ) -> CorrectionRequested:
        """补正: everything missing is requested at once (一次性告知).

        A second request is refused, except for materials that have lapsed since. A license that is
        no evidence any more is a new reason, also after acceptance: then the clock stands still
        until the applicant has replaced it.
        """
        self._begin(CaseAct.REQUEST_CORRECTION, at)
        lapsed = self.lapsed(at.today)
        is_about_lapsed = all(item.material_code in lapsed for item in items)
        if self.state is State.ACCEPTED and not is_about_lapsed:
            raise ConflictError(
                "after acceptance only what has lapsed is asked for again",
                extra={"lapsed": sorted(lapsed)},
            )
        if self.corrections and not is_about_lapsed:
            raise ConflictError(
                "everything missing is told once (一次性告知); a second correction is not allowed"
            )
        if self.state is State.RECEIVED:
            self.intake_by = self.intake_by or officer
        else:
            # After acceptance the clocks stand still, as in a special procedure.
            self.suspended_on = at.today
        if not is_about_lapsed:
            self.corrections = 1
        self.state = State.CORRECTING
        self.missing = items
        self.schedule_light_check(at)
        return CorrectionRequested(**self.facts(at), items=len(items))

    def correct(
        self, materials: Sequence[StoredMaterial], at: Moment
    ) -> CaseReceived | CaseResumed:
        """The applicant has filled the gaps.

        The acceptance clock starts again; the clocks of an accepted case go on.
        """
        self._begin(CaseAct.CORRECT, at)
        self._replace_materials(materials)
        lapsed = self.lapsed(at.today)
        asked = {item.material_code for item in self.missing}
        left = sorted(code for code in lapsed if code in asked)
        if left:
            raise ConflictError(
                "lapsed and not replaced: {codes}", codes=", ".join(left), extra={"lapsed": left}
            )
        if self.accepted_on is not None:
            return self._resumed(at)
        # `receive` counts the change itself.
        self.revision -= 1
        return self.receive(at)

    def supply(self, materials: Sequence[StoredMaterial], at: Moment) -> None:
        """容缺后补: the applicant brings what was promised, or replaces what has lapsed."""
        self._begin(CaseAct.SUPPLY, at)
        lapsed = self.lapsed(at.today)
        given = {material.code for material in materials}
        other = sorted(given - {*self.gaps, *lapsed})
        if other:
            raise ConflictError(
                "neither promised nor lapsed: {codes}",
                codes=", ".join(other),
                extra={"promised": self.gaps, "lapsed": sorted(lapsed)},
            )
        self._replace_materials(materials)
        # Without gaps there is no day by which they must be filled.
        if not self.gaps:
            self.gap_days = None
            self.gap_due_on = None

    @property
    def gaps(self) -> list[str]:
        """Codes of the materials that were promised and have not come yet."""
        return [material.code for material in self.materials if isinstance(material, Promised)]

    def lapsed(self, today: date) -> dict[str, LicenseStatus]:
        """The materials whose license is no evidence any more: code and the license's status."""
        lapsed: dict[str, LicenseStatus] = {}
        for material in licenses_among(self.materials):
            status = material.lapsed_status(today)
            if status is not None:
                lapsed[material.code] = status
        return lapsed

    def _replace_materials(self, materials: Sequence[StoredMaterial]) -> None:
        replaced = {material.code for material in materials}
        kept = [material for material in self.materials if material.code not in replaced]
        self.materials = [*kept, *materials]

    # Licenses

    def recheck_licenses(
        self, licenses: Mapping[UUID, LicenseCopy], at: Moment
    ) -> tuple[list[CaseMaterialLapsed], list[str]]:
        """Follow the newest state of licenses that the case uses.

        Returns the events about materials that have lapsed, and the codes of those that are
        evidence again.
        """
        materials: list[StoredMaterial] = []
        rechecked: list[tuple[FromLicense, FromLicense]] = []
        for material in self.materials:
            if isinstance(material, FromLicense) and material.license_id in licenses:
                newest = recheck_material(material, licenses[material.license_id], day=at.today)
                rechecked.append((material, newest))
                materials.append(newest)
            else:
                materials.append(material)
        if materials == self.materials:
            return [], []
        self.revision += 1
        self.materials = materials
        lapsed: list[CaseMaterialLapsed] = []
        restored: list[str] = []
        for before, after in rechecked:
            if after.lapsed is None:
                if before.lapsed is not None:
                    restored.append(after.code)
            elif after.lapsed is not before.lapsed:
                lapsed.append(self._material_lapsed(after, after.lapsed, at=at))
        return lapsed, restored

    def _material_lapsed(
        self, material: FromLicense, status: LicenseStatus, *, at: Moment
    ) -> CaseMaterialLapsed:
        return CaseMaterialLapsed(
            **self.facts(at),
            license_id=material.license_id,
            material_code=material.code,
            status=status.value,
        )

    def license_uses(
        self, materials: Iterable[FromLicense], operator: str, *, at: Moment
    ) -> list[CaseLicenseUsed]:
        """用证: an event for each of these materials. `operator` is the account that acts."""
        names = {material.code: material.name.zh for material in self.guide.materials}
        events: list[CaseLicenseUsed] = []
        for material in materials:
            reason = f"{self.matter_name}: {names[material.code]}"
            event = CaseLicenseUsed(
                **self.facts(at),
                license_id=material.license_id,
                license_type_code=material.type_code,
                material_code=material.code,
                digest=material.digest,
                operator=operator,
                reason=reason[:LONGEST_USE_REASON],
            )
            events.append(event)
        return events

    # Review, suspension, extension

    def review(self, officer: str, at: Moment) -> None:
        """审查: one reviewer's step; never the person of the intake, never twice the same."""
        self._begin(CaseAct.REVIEW, at)
        if officer == self.intake_by:
            raise ForbiddenError("who took the case in does not review it (受审分离)")
        if officer in self.reviewers:
            raise ConflictError("you have reviewed this case; a second person must")
        # A new list, because changes inside a list are not noticed by the session.
        self.reviewers = [*self.reviewers, officer]
        # The step of the review ends with the last reviewer; that of the decision begins.
        if len(self.reviewers) == self.reviewers_needed:
            self._start_step(at.today, at)

    def suspend(self, kind: SpecialProcedure, planned_days: int, *, at: Moment) -> CaseSuspended:
        """特别程序: the clocks stand still while it runs (art. 45)."""
        self._begin(CaseAct.SUSPEND, at)
        self.state = State.SUSPENDED
        self.suspension = kind
        self.suspended_on = at.today
        self.schedule_light_check(at)
        return CaseSuspended(**self.facts(at), kind=kind.value, planned_days=planned_days)

    def resume(self, at: Moment) -> CaseResumed:
        """The clocks go on: due dates move by the working days that the procedure really took."""
        self._begin(CaseAct.RESUME, at)
        return self._resumed(at)

    def _resumed(self, at: Moment) -> CaseResumed:
        assert self.suspended_on is not None
        days = at.calendar.working_days_between(self.suspended_on, end=at.today)
        self.state = State.ACCEPTED
        self.suspended_on = None
        self._extend_clocks(days, at)
        return CaseResumed(**self.facts(at), **self._due_facts())

    def extend(self, days: int, at: Moment) -> CaseExtended:
        """延期 by the organ's head, once, while the time is not over (art. 42)."""
        self._begin(CaseAct.EXTEND, at)
        if self.extended_days:
            raise ConflictError(
                "extended by {days} days already; a second extension is not allowed",
                days=self.extended_days,
            )
        # A matter without a statutory limit is held to its promise.
        if at.today > (self.legal_due_on or self.due_on):
            raise ConflictError("its time is over; an extension is decided before that")
        self.extended_days = days
        self._extend_clocks(days, at)
        return CaseExtended(**self.facts(at), **self._due_facts(), days=days)

    # Decision, delivery and other ends

    def decide(
        self, officer: str, result: CaseResult, *, reasons: str | None, at: Moment
    ) -> CaseDecided:
        """决定 by a leader after review by two (one for 即办件)."""
        self._begin(CaseAct.DECIDE, at)
        self._check_decision(officer, result, at=at)
        # Only a grant leads to a license, and then its service must know the holder.
        license_type_code: str | None = None
        holder: str | None = None
        if result is CaseResult.REFUSED:
            reasons = _with_remedies(reasons or "")
        elif self.license_type_code is not None:
            license_type_code = self.license_type_code
            holder = self._sealed_holder()
        self.state = State.DECIDED
        self.decided_by = officer
        self.result = result
        self.reasons = reasons
        # Before the clocks start anew: then `due_on` is that of the delivery.
        self.overdue = at.today > self.due_on
        self._start_clocks(at.today, DELIVERY_DAYS, at=at)
        return CaseDecided(
            **self.facts(at),
            result=result.value,
            decided_on=at.today,
            overdue=self.overdue,
            license_type_code=license_type_code,
            holder=holder,
        )

    def _check_decision(self, officer: str, result: CaseResult, *, at: Moment) -> None:
        if len(self.reviewers) < self.reviewers_needed:
            raise ConflictError(
                "{needed} reviewer(s) must have examined it (art. 34), {count} have",
                needed=self.reviewers_needed,
                count=len(self.reviewers),
            )
        if officer in {self.intake_by, *self.reviewers}:
            raise ForbiddenError("intake, review and decision are different people")
        if self.gaps:
            raise ConflictError(
                "no result until the promised materials are there (容缺)",
                extra={"promised": self.gaps},
            )
        lapsed = self.lapsed(at.today)
        if lapsed and result is CaseResult.GRANTED:
            raise ConflictError(
                "no license meets these any more: {codes}; ask the applicant to replace them",
                codes=", ".join(sorted(lapsed)),
                extra={"lapsed": [{"code": code, "status": lapsed[code]} for code in lapsed]},
            )

    def deliver(
        self, officer: str, method: DeliveryMethod, *, at: Moment
    ) -> tuple[ResultDelivered, CaseClosed]:
        """送达 by a third person: neither intake nor decision."""
        self._begin(CaseAct.DELIVER, at)
        if officer in {self.intake_by, self.decided_by, *self.reviewers}:
            raise ForbiddenError("delivery is done by a third person")
        delivered = ResultDelivered(**self.facts(at), method=method, delivered_on=at.today)
        return delivered, self._close(State.CLOSED, at)

    def withdraw(self, at: Moment) -> tuple[CaseWithdrawn, CaseClosed]:
        """撤回 by the applicant before the decision."""
        self._begin(CaseAct.WITHDRAW, at)
        return CaseWithdrawn(**self.facts(at)), self._close(State.WITHDRAWN, at)

    def give_back(self, reasons: str, at: Moment) -> CaseClosed:
        """退件: the requested corrections, or the promised materials, never came."""
        self._begin(CaseAct.RETURN, at)
        if self.gap_due_on is not None and at.today <= self.gap_due_on:
            raise ConflictError(
                "the promised materials may come until {day}", day=self.gap_due_on.isoformat()
            )
        self.reasons = reasons
        self.result = CaseResult.RETURNED
        return self._close(State.RETURNED, at)

    def _close(self, state: State, at: Moment) -> CaseClosed:
        self.state = state
        self.schedule_light_check(at)
        result: str | None = None
        if self.result is not None:
            result = self.result.value
        return CaseClosed(
            **self.facts(at),
            state=state.value,
            result=result,
            closed_on=at.today,
            overdue=self.overdue,
            contact=self._sealed_contact(),
        )

    # Personal data for other services, readable by the named ones alone

    def _sealed_contact(self) -> str:
        """Whom ratings may ask for a judgement."""
        return seal_for({"name": self.applicant_name, "phone": self.phone}, "case.contact")

    def _sealed_holder(self) -> str:
        """To whom licenses must issue the license."""
        holder = {
            "kind": self.applicant_kind.value,
            "name": self.applicant_name,
            "id_number": self.applicant_id_number,
            "phone": self.phone,
        }
        return seal_for(holder, "case.holder")


def _with_remedies(reasons: str) -> str:
    return f"{reasons}。{REMEDIES}"
