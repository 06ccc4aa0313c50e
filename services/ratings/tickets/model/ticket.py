"""差评工单: what is done about one bad rating.

Every act is one method of `Ticket`. It checks that the act is possible now, changes the ticket, and
returns the events; time and calendar are passed in.
"""

from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import (
    Boolean,
    Date,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from services.ratings.calendar.model import Deadlines
from services.ratings.model_base import OFFICE_COLUMNS, Base, OfOffice
from services.ratings.rating.model.grades import Grade, is_bad
from services.ratings.rating.model.rating import Rating, RatingFacts
from services.ratings.rating.model.root_causes import PlanClass, RootCause
from services.ratings.tickets.model.clocks import DAY, Clock, Escalation, escalations
from services.ratings.tickets.model.states import (
    ALLOWED,
    ANSWERED,
    IS_RUNNING,
    START,
    NextAct,
    TicketState,
)
from shared.database.columns import enum_column
from shared.domain.workdays import Moment
from shared.errors import ConflictError
from shared.events.ratings import (
    BadRatingCalledBack,
    BadRatingEscalated,
    BadRatingOpened,
    BadRatingRectified,
    RatingRerated,
)
from shared.ids import new_id

ATTEMPTS = 3
"""Calls that nobody answered, after which the work goes on without the rater."""


class TicketFacts(RatingFacts):
    """What every event about a ticket tells."""

    rating_id: UUID
    ticket_id: UUID
    grade: Grade
    revision: int
    occurred_at: datetime


class RootCauseFound(NamedTuple):
    """What the bad rating was about, coded and in words, and what was done; `action` is public."""

    cause: RootCause
    words: str
    action: str


class Ticket(OfOffice, Base):
    """One bad rating from its opening to the rater's judgement of what was done.

    A second `round` begins when the rater is not satisfied; there is no third. What belongs to a
    round is emptied with it, except `called_back_on`, the first day on which the rater was reached.
    `watch_on` is the next day on which time alone does something, so that the timer reads one
    narrow index; `next_due_on` orders the work lists. `handler` acted last.
    """

    __tablename__ = "ticket"
    __table_args__ = (
        Index(
            "ix_ticket_work",
            *OFFICE_COLUMNS,
            "next_due_on",
            "id",
            postgresql_where=text(IS_RUNNING),
        ),
        Index(
            "ix_ticket_area", "area_code", "next_due_on", "id", postgresql_where=text(IS_RUNNING)
        ),
        Index("ix_ticket_running", "next_due_on", "id", postgresql_where=text(IS_RUNNING)),
        Index(
            "ix_ticket_handler",
            "handler",
            *OFFICE_COLUMNS,
            "next_due_on",
            "id",
            postgresql_where=text(IS_RUNNING),
        ),
        Index("ix_ticket_owner", "account_id", "id"),
        Index("ix_ticket_watch", "watch_on", postgresql_where=text("watch_on IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    rating_id: Mapped[UUID] = mapped_column(ForeignKey("rating.id"), unique=True)
    revision: Mapped[int] = mapped_column(Integer)
    state: Mapped[TicketState] = enum_column(TicketState)
    round: Mapped[int] = mapped_column(SmallInteger)
    account_id: Mapped[UUID | None] = mapped_column(Uuid)
    grade: Mapped[Grade] = mapped_column(SmallInteger)
    real_name: Mapped[bool] = mapped_column(Boolean)
    opened_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    opened_on: Mapped[date] = mapped_column(Date)
    callback_due_on: Mapped[date] = mapped_column(Date)
    verify_due_on: Mapped[date] = mapped_column(Date)
    rectify_due_on: Mapped[date] = mapped_column(Date)
    attempts: Mapped[int] = mapped_column(SmallInteger)
    first_call_on: Mapped[date | None] = mapped_column(Date)
    reached_on: Mapped[date | None] = mapped_column(Date)
    called_back_on: Mapped[date | None] = mapped_column(Date)
    verified_on: Mapped[date | None] = mapped_column(Date)
    confirmed: Mapped[bool | None] = mapped_column(Boolean)
    plan_class: Mapped[PlanClass | None] = enum_column(PlanClass)
    plan_reason: Mapped[str | None] = mapped_column(Text)
    ledger: Mapped[str | None] = mapped_column(Text)
    planned_on: Mapped[date | None] = mapped_column(Date)
    approved_by: Mapped[str | None] = mapped_column(Text)
    root_cause: Mapped[RootCause | None] = enum_column(RootCause)
    root_words: Mapped[str | None] = mapped_column(Text)
    action: Mapped[str | None] = mapped_column(Text)
    rectified_on: Mapped[date | None] = mapped_column(Date)
    explained: Mapped[bool] = mapped_column(Boolean)
    rectify_late: Mapped[bool] = mapped_column(Boolean)
    feedback_on: Mapped[date | None] = mapped_column(Date)
    satisfied: Mapped[bool | None] = mapped_column(Boolean)
    regrade: Mapped[Grade | None] = mapped_column(SmallInteger)
    closed_on: Mapped[date | None] = mapped_column(Date)
    silent_on: Mapped[date | None] = mapped_column(Date)
    escalated: Mapped[list[str]] = mapped_column(ARRAY(Text))
    level: Mapped[int] = mapped_column(SmallInteger)
    handler: Mapped[str | None] = mapped_column(Text)
    next_due_on: Mapped[date | None] = mapped_column(Date)
    watch_on: Mapped[date | None] = mapped_column(Date)

    @classmethod
    def about(cls, rating: Rating) -> "Ticket":
        """A ticket about this rating that has not been opened yet."""
        return cls(
            id=new_id(),
            rating_id=rating.id,
            revision=0,
            round=0,
            area_code=rating.area_code,
            department_code=rating.department_code,
            account_id=rating.account_id,
            grade=rating.grade,
            real_name=rating.real_name,
            escalated=[],
            level=0,
        )

    def _next_facts(self, rating: Rating, at: Moment) -> TicketFacts:
        """What the next event tells; each event is a further revision of the rating."""
        rating.revision += 1
        return {
            **rating.facts(),
            "rating_id": rating.id,
            "ticket_id": self.id,
            "grade": self.grade,
            "revision": rating.revision,
            "occurred_at": at.now,
        }

    @property
    def may_proceed(self) -> bool:
        """The rater was reached, or need not be (anonymous), or could not be."""
        waits_for_rater = self.state == TicketState.VERIFIED and self.real_name
        return not waits_for_rater or self.attempts >= ATTEMPTS

    def allowed(self) -> list[NextAct]:
        """What can be done to it now."""
        acts = {act for act, states in ALLOWED.items() if self.state in states}
        # Without having reached the rater nothing is planned, until calls were tried often enough.
        if not self.may_proceed:
            acts -= {NextAct.PLAN, NextAct.EXPLAIN}
        # Nobody knows whom to call.
        if not self.real_name:
            acts.discard(NextAct.CALL_BACK)
        if self.plan_class == PlanClass.COMPLEX and self.approved_by is None:
            acts.discard(NextAct.COMPLETE)
        else:
            acts.discard(NextAct.APPROVE)
        return sorted(acts)

    def check(self, act: NextAct) -> None:
        """Raise `ConflictError` for an act that is not possible now, naming those that are."""
        allowed = self.allowed()
        if act not in allowed:
            raise ConflictError(
                "the ticket is {state}; {act} is not possible now",
                state=self.state,
                act=act,
                extra={"state": self.state, "allowed": allowed},
            )

    def _begin(self, act: NextAct, officer: str | None = None) -> None:
        self.check(act)
        self.revision += 1
        # Acts of the rater and of reviewers leave the work with the officer who had it.
        self.handler = officer or self.handler

    def open(self, rating: Rating, *, days: Deadlines, at: Moment) -> BadRatingOpened:
        """A round begins: 谁办理谁负责, the department's clocks start."""
        self.revision += 1
        self.round += 1
        if self.round == 1:
            self.state = TicketState.OPEN
            self.opened_at = at.now
            self.opened_on = at.today
        else:
            self.state = TicketState.REOPENED
        self.callback_due_on = at.after(days.callback)
        # Kept as days, not as rules: a later change of the deadlines moves no running clock.
        self.verify_due_on = at.after(days.verify)
        self.rectify_due_on = at.after(days.rectify_simple)
        self._empty_round()
        self.watch(days, at)
        return BadRatingOpened(
            **self._next_facts(rating, at),
            callback_due_on=self.callback_due_on,
            rectify_due_on=self.rectify_due_on,
            reopened=self.round > 1,
        )

    def _empty_round(self) -> None:
        """Empty what belongs to the round before."""
        self.attempts = 0
        self.first_call_on = None
        self.reached_on = None
        self.verified_on = None
        self.plan_class = None
        self.plan_reason = None
        self.ledger = None
        self.planned_on = None
        self.approved_by = None
        self.root_cause = None
        self.root_words = None
        self.action = None
        self.explained = False
        self.rectified_on = None
        self.rectify_late = False
        self.feedback_on = None
        self.silent_on = None

    def verify(
        self, rating: Rating, *, confirmed: bool, officer: str, at: Moment
    ) -> list[BadRatingCalledBack]:
        """核实: whether it was as the rater says."""
        self._begin(NextAct.VERIFY, officer)
        self.state = TicketState.VERIFIED
        self.verified_on = at.today
        self.confirmed = confirmed
        return self._called_back(rating, at)

    def call_back(
        self, rating: Rating, *, reached: bool, officer: str, at: Moment
    ) -> list[BadRatingCalledBack]:
        """回访: one call, answered or not."""
        self._begin(NextAct.CALL_BACK, officer)
        self.attempts += 1
        self.first_call_on = self.first_call_on or at.today
        if reached:
            self.reached_on = self.reached_on or at.today
            # Kept over both rounds: the rate of call-backs counts the first one.
            self.called_back_on = self.called_back_on or at.today
        return self._called_back(rating, at)

    def _called_back(self, rating: Rating, at: Moment) -> list[BadRatingCalledBack]:
        """回访核实: both are done, in whichever order."""
        if self.state != TicketState.VERIFIED or self.reached_on is None:
            return []
        assert self.first_call_on is not None
        assert self.verified_on is not None
        self.state = TicketState.CALLED_BACK
        called_in_time = self.first_call_on <= self.callback_due_on
        verified_in_time = self.verified_on <= self.verify_due_on
        in_time = called_in_time and verified_in_time
        return [BadRatingCalledBack(**self._next_facts(rating, at), in_time=in_time)]

    def plan(
        self, kind: PlanClass, *, reason: str | None, ledger: str | None, officer: str, at: Moment
    ) -> None:
        """整改: at once when simple.

        A complex one has its reason, a ledger entry (台账) and, once approved, more time.
        """
        self._begin(NextAct.PLAN, officer)
        self.state = TicketState.RECTIFYING
        self.plan_class = kind
        self.planned_on = at.today
        self.plan_reason = reason
        self.ledger = ledger

    def approve(self, officer: str, *, days: Deadlines, at: Moment) -> None:
        """The department's head agrees that it is complex.

        The longer time runs from the round's opening.
        """
        self._begin(NextAct.APPROVE)
        self.approved_by = officer
        # A city may set both to the same number; a deadline never moves back.
        more = max(days.rectify_complex - days.rectify_simple, 0)
        self.rectify_due_on = at.calendar.add_working_days(self.rectify_due_on, more)
        # With the longer time it may be in time after all.
        self.rectify_late = self.rectify_late and at.today > self.rectify_due_on

    def complete(
        self, rating: Rating, found: RootCauseFound, *, officer: str, at: Moment
    ) -> BadRatingRectified:
        """整改完成: root cause and action are known."""
        self._begin(NextAct.COMPLETE, officer)
        self.state = TicketState.RECTIFIED
        return self._answered(rating, found, at=at)

    def explain(
        self, rating: Rating, found: RootCauseFound, *, officer: str, at: Moment
    ) -> BadRatingRectified:
        """解释说明: what the rater asks for has no legal basis."""
        self._begin(NextAct.EXPLAIN, officer)
        self.state = TicketState.EXPLAINED
        self.explained = True
        return self._answered(rating, found, at=at)

    def _answered(self, rating: Rating, found: RootCauseFound, *, at: Moment) -> BadRatingRectified:
        self.root_cause = found.cause
        self.root_words = found.words
        self.action = found.action
        self.rectified_on = at.today
        in_time = at.today <= self.rectify_due_on
        return BadRatingRectified(
            **self._next_facts(rating, at), in_time=in_time, explained=self.explained
        )

    def feed_back(self, officer: str, *, days: Deadlines, at: Moment) -> None:
        """反馈 to the rater: who then says nothing leaves it closed."""
        self._begin(NextAct.FEED_BACK, officer)
        self.feedback_on = self.feedback_on or at.today
        # Feedback that is given again does not give the rater more time, nor less.
        self.silent_on = self.silent_on or at.after(days.rerate)

    def rerate(self, rating: Rating, regrade: Grade, *, at: Moment) -> RatingRerated:
        """再评价 by the rater; after a bad grade a second round begins (`open`), once."""
        self._begin(NextAct.RE_RATE)
        self.regrade = regrade
        satisfied = not is_bad(regrade)
        self.satisfied = satisfied
        return RatingRerated(**self._next_facts(rating, at), satisfied=satisfied, regrade=regrade)

    @property
    def reopens(self) -> bool:
        """Not satisfied after the first round."""
        return self.satisfied is False and self.round == 1

    def close(self, at: Moment) -> None:
        """Satisfied, silent, or judged a second time."""
        self._end(TicketState.CLOSED, at)

    def exclude(self, at: Moment) -> None:
        """An appeal was upheld: nothing is left to do."""
        self.revision += 1
        self._end(TicketState.EXCLUDED, at)

    def _end(self, state: TicketState, at: Moment) -> None:
        self.state = state
        self.closed_on = at.today
        self.next_due_on = None
        self.watch_on = None

    def clocks(self) -> dict[Clock, date]:
        """Those that run, and the days they are due."""
        running: dict[Clock, date] = {}
        if self.closed_on is not None:
            return running
        if self.state in ANSWERED:
            # Feedback belongs to the rectification, so it is due with it.
            if self.feedback_on is None:
                running["feedback"] = self.rectify_due_on
            return running
        # An officer who has called once has met the clock, whether the call was answered or not.
        may_call = self.state in (*START, TicketState.VERIFIED) and self.real_name
        if may_call and self.first_call_on is None:
            running["callback"] = self.callback_due_on
        if self.verified_on is None:
            running["verify"] = self.verify_due_on
        running["rectify"] = self.rectify_due_on
        return running

    def _pending(self, days: Deadlines, at: Moment) -> list[Escalation]:
        """What will be escalated, and was not yet, in the order of its days."""
        coming = escalations(self.clocks(), days.escalation_step, calendar=at.calendar)
        return sorted(one for one in coming if self._name(one) not in self.escalated)

    def _name(self, escalation: Escalation) -> str:
        return f"{self.round}/{escalation.clock}/{escalation.level}"

    def watch(self, days: Deadlines, at: Moment) -> None:
        """Set the next days on which something is due, and on which time alone does something."""
        if self.closed_on is not None:
            return
        due_days = list(self.clocks().values())
        watch_days = [one.day for one in self._pending(days, at)]
        if self.silent_on is not None:
            due_days.append(self.silent_on)
            watch_days.append(self.silent_on + DAY)
        self.next_due_on = min(due_days)
        self.watch_on = min(watch_days, default=None)

    def escalate(self, rating: Rating, *, days: Deadlines, at: Moment) -> list[BadRatingEscalated]:
        """逐级督办: what ran out since the timer last looked, each once."""
        due = [one for one in self._pending(days, at) if one.day <= at.today]
        if not due:
            return []
        self.revision += 1
        # By round, clock and level: each is told once, however often the timer runs.
        self.escalated = [*self.escalated, *[self._name(one) for one in due]]
        events: list[BadRatingEscalated] = []
        for one in due:
            self.level = max(self.level, one.level)
            self.rectify_late = self.rectify_late or one.clock == "rectify"
            facts = self._next_facts(rating, at)
            events.append(BadRatingEscalated(**facts, level=one.level, clock=one.clock))
        return events

    def is_silent(self, at: Moment) -> bool:
        """The rater got feedback and said nothing in time."""
        return self.state in ANSWERED and self.silent_on is not None and at.today > self.silent_on
