"""差评工单: what is done about one bad rating. Every act is one method; time and calendar are passed in."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Literal
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
from services.ratings.model_base import PLACE, Base
from services.ratings.rating.model.rating import Rating
from services.ratings.tickets.model.clocks import DAY, Clock, Escalation, escalations
from services.ratings.tickets.model.states import (
    ALLOWED,
    ANSWERED,
    IS_RUNNING,
    START,
    TicketAct,
    TicketState,
)
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
from shared.security.crypto import Encrypted

ATTEMPTS = 3
"""Calls that nobody answered, after which the work goes on without the rater."""
PlanClass = Literal["simple", "complex"]


class Ticket(Base):
    """One bad rating from its opening to the rater's judgement of what was done.

    A second `round` begins when the rater is not satisfied; there is no third. What belongs to a round is emptied with it,
    but for `called_back_on`, the first day on which the rater was reached. `watch_on` is the next day on which time alone
    does something, so that the timer asks one narrow index; `next_due_on` orders the work lists. `handler` acted last.
    """

    __tablename__ = "ticket"
    __table_args__ = (
        Index("ix_ticket_work", *PLACE, "next_due_on", "id", postgresql_where=text(IS_RUNNING)),
        Index(
            "ix_ticket_area", "area_code", "next_due_on", "id", postgresql_where=text(IS_RUNNING)
        ),
        Index("ix_ticket_running", "next_due_on", "id", postgresql_where=text(IS_RUNNING)),
        Index(
            "ix_ticket_handler",
            "handler",
            *PLACE,
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
    state: Mapped[str] = mapped_column(Text)
    round: Mapped[int] = mapped_column(SmallInteger)
    area_code: Mapped[str] = mapped_column(Text)
    department_code: Mapped[str] = mapped_column(Text)
    account_id: Mapped[UUID | None] = mapped_column(Uuid)
    grade: Mapped[int] = mapped_column(SmallInteger)
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
    plan_class: Mapped[str | None] = mapped_column(Text)
    plan_reason: Mapped[str | None] = mapped_column(Text)
    ledger: Mapped[str | None] = mapped_column(Text)
    planned_on: Mapped[date | None] = mapped_column(Date)
    approved_by: Mapped[str | None] = mapped_column(Text)
    root_cause: Mapped[str | None] = mapped_column(Text)
    root_words: Mapped[str | None] = mapped_column(Text)
    action: Mapped[str | None] = mapped_column(Text)
    rectified_on: Mapped[date | None] = mapped_column(Date)
    explained: Mapped[bool] = mapped_column(Boolean)
    rectify_late: Mapped[bool] = mapped_column(Boolean)
    feedback_on: Mapped[date | None] = mapped_column(Date)
    satisfied: Mapped[bool | None] = mapped_column(Boolean)
    regrade: Mapped[int | None] = mapped_column(SmallInteger)
    closed_on: Mapped[date | None] = mapped_column(Date)
    silent_on: Mapped[date | None] = mapped_column(Date)
    escalated: Mapped[list[str]] = mapped_column(ARRAY(Text))
    level: Mapped[int] = mapped_column(SmallInteger)
    handler: Mapped[str | None] = mapped_column(Text)
    next_due_on: Mapped[date | None] = mapped_column(Date)
    watch_on: Mapped[date | None] = mapped_column(Date)

    @classmethod
    def over(cls, rating: Rating) -> "Ticket":
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

    def facts(self, rating: Rating, at: Moment) -> dict[str, Any]:
        """What every event about it tells; each is a further revision of the rating."""
        rating.revision += 1
        about = {"rating_id": rating.id, "ticket_id": self.id, "grade": self.grade}
        return {**rating.facts(), **about, "revision": rating.revision, "occurred_at": at.now}

    @property
    def may_proceed(self) -> bool:
        """The rater was reached, or need not be (anonymous), or could not be."""
        return self.state != TicketState.VERIFIED or not self.real_name or self.attempts >= ATTEMPTS

    def allowed(self) -> list[TicketAct]:
        """What can be done to it now, as the last parts of the paths."""
        acts = {act for act, states in ALLOWED.items() if self.state in states}
        waits = self.plan_class == "complex" and self.approved_by is None
        if not self.may_proceed:
            acts -= {TicketAct.PLAN, TicketAct.EXPLAIN}
        if not self.real_name:
            acts -= {TicketAct.CALL_BACK}
        return sorted(acts - ({TicketAct.COMPLETE} if waits else {TicketAct.APPROVE}))

    def check(self, act: TicketAct) -> None:
        """Refuse an act that is not possible now, naming those that are."""
        if act not in (allowed := self.allowed()):
            words = f"the ticket is {self.state}; {act} is not possible now"
            raise ConflictError(words, extra={"state": self.state, "allowed": allowed})

    def _begin(self, act: TicketAct, officer: str | None = None) -> None:
        self.check(act)
        self.revision += 1
        self.handler = officer or self.handler

    def open(self, rating: Rating, days: Deadlines, at: Moment) -> BadRatingOpened:
        """A round begins: 谁办理谁负责, the department's clocks start."""
        self.revision += 1
        self.round += 1
        self.state = TicketState.OPEN if self.round == 1 else TicketState.REOPENED
        if self.round == 1:
            self.opened_at, self.opened_on = at.now, at.today
        self.callback_due_on, self.verify_due_on = at.after(days.callback), at.after(days.verify)
        self.rectify_due_on = at.after(days.rectify_simple)
        self.attempts, self.explained, self.rectify_late = 0, False, False
        self.first_call_on = self.reached_on = self.verified_on = self.planned_on = None
        self.rectified_on = self.feedback_on = self.silent_on = None
        self.plan_class = self.plan_reason = self.ledger = self.approved_by = None
        self.root_cause = self.root_words = self.action = None
        self.watch(days, at)
        dues: dict[str, Any] = {
            "callback_due_on": self.callback_due_on,
            "rectify_due_on": self.rectify_due_on,
        }
        return BadRatingOpened(**self.facts(rating, at), **dues, reopened=self.round > 1)

    def verify(
        self, confirmed: bool, officer: str, rating: Rating, at: Moment
    ) -> Sequence[BadRatingCalledBack]:
        """核实: whether it was as the rater says."""
        self._begin(TicketAct.VERIFY, officer)
        self.state, self.verified_on, self.confirmed = TicketState.VERIFIED, at.today, confirmed
        return self._called_back(rating, at)

    def call_back(
        self, reached: bool, officer: str, rating: Rating, at: Moment
    ) -> Sequence[BadRatingCalledBack]:
        """回访: one call, answered or not."""
        self._begin(TicketAct.CALL_BACK, officer)
        self.attempts += 1
        self.first_call_on = self.first_call_on or at.today
        if reached:
            self.reached_on = self.reached_on or at.today
            self.called_back_on = self.called_back_on or at.today
        return self._called_back(rating, at)

    def _called_back(self, rating: Rating, at: Moment) -> Sequence[BadRatingCalledBack]:
        """回访核实: both are done, in whichever order."""
        if self.state != TicketState.VERIFIED or self.reached_on is None:
            return ()
        assert self.first_call_on is not None
        assert self.verified_on is not None
        self.state = TicketState.CALLED_BACK
        in_time = (
            self.first_call_on <= self.callback_due_on and self.verified_on <= self.verify_due_on
        )
        return (BadRatingCalledBack(**self.facts(rating, at), in_time=in_time),)

    def plan(
        self, kind: PlanClass, reason: str | None, ledger: str | None, officer: str, at: Moment
    ) -> None:
        """整改: at once when simple; a complex one has its reason, a ledger entry (台账) and, once approved, more time."""
        self._begin(TicketAct.PLAN, officer)
        self.state, self.plan_class, self.planned_on = TicketState.RECTIFYING, kind, at.today
        self.plan_reason, self.ledger = reason, ledger

    def approve(self, officer: str, days: Deadlines, at: Moment) -> None:
        """The department's head agrees that it is complex: the longer time runs from the round's opening."""
        self._begin(TicketAct.APPROVE)
        self.approved_by = officer
        more = days.rectify_complex - days.rectify_simple
        self.rectify_due_on = at.calendar.add_working_days(self.rectify_due_on, max(more, 0))
        self.rectify_late = self.rectify_late and at.today > self.rectify_due_on

    def complete(
        self, cause: str, words: str, action: str, officer: str, rating: Rating, at: Moment
    ) -> Any:
        """整改完成: root cause and action are known."""
        self._begin(TicketAct.COMPLETE, officer)
        self.state = TicketState.RECTIFIED
        return self._answered(cause, words, action, rating, at)

    def explain(
        self, cause: str, words: str, action: str, officer: str, rating: Rating, at: Moment
    ) -> Any:
        """解释说明: what the rater asks for has no legal basis."""
        self._begin(TicketAct.EXPLAIN, officer)
        self.state, self.explained = TicketState.EXPLAINED, True
        return self._answered(cause, words, action, rating, at)

    def _answered(
        self, cause: str, words: str, action: str, rating: Rating, at: Moment
    ) -> BadRatingRectified:
        self.root_cause, self.root_words, self.action = cause, words, action
        self.rectified_on = at.today
        in_time = at.today <= self.rectify_due_on
        return BadRatingRectified(
            **self.facts(rating, at), in_time=in_time, explained=self.explained
        )

    def feed_back(self, officer: str, days: Deadlines, at: Moment) -> None:
        """反馈 to the rater: who then says nothing leaves it closed."""
        self._begin(TicketAct.FEED_BACK, officer)
        self.feedback_on = self.feedback_on or at.today
        self.silent_on = self.silent_on or at.after(days.rerate)

    def rerate(self, regrade: int, rating: Rating, at: Moment) -> RatingRerated:
        """再评价 by the rater; with 1 or 2 a second round begins (`open`), once."""
        self._begin(TicketAct.RE_RATE)
        self.regrade, self.satisfied = regrade, regrade > 2
        return RatingRerated(**self.facts(rating, at), satisfied=self.satisfied, regrade=regrade)  # pyright: ignore[reportArgumentType]

    @property
    def reopens(self) -> bool:
        """Not satisfied after the first round."""
        return self.satisfied is False and self.round == 1

    def close(self, at: Moment) -> None:
        """Satisfied, silent, or judged a second time."""
        self.state, self.closed_on = TicketState.CLOSED, at.today
        self.next_due_on = self.watch_on = None

    def exclude(self, at: Moment) -> None:
        """An appeal was upheld: nothing is left to do."""
        self.revision += 1
        self.state, self.closed_on = TicketState.EXCLUDED, at.today
        self.next_due_on = self.watch_on = None

    def clocks(self) -> dict[Clock, date]:
        """Those that run, and the days they are due."""
        running: dict[Clock, date] = {}
        if self.closed_on is not None:
            return running
        if self.state in ANSWERED:
            # Feedback belongs to the rectification, so it is due with it.
            return {} if self.feedback_on else {"feedback": self.rectify_due_on}
        if (
            self.state in (*START, TicketState.VERIFIED)
            and self.first_call_on is None
            and self.real_name
        ):
            running["callback"] = self.callback_due_on
        if self.verified_on is None:
            running["verify"] = self.verify_due_on
        running["rectify"] = self.rectify_due_on
        return running

    def _pending(self, days: Deadlines, at: Moment) -> list[Escalation]:
        found = escalations(self.clocks(), days.escalation_step, at.calendar)
        return sorted(one for one in found if self._name(one) not in self.escalated)

    def _name(self, one: Escalation) -> str:
        return f"{self.round}/{one.clock}/{one.level}"

    def watch(self, days: Deadlines, at: Moment) -> None:
        """Set the next days on which something is due, and on which time alone does something."""
        if self.closed_on is None:
            silent = [self.silent_on] if self.silent_on else []
            self.next_due_on = min([*self.clocks().values(), *silent])
            coming = [one.day for one in self._pending(days, at)]
            self.watch_on = min([*coming, *(day + DAY for day in silent)], default=None)

    def escalate(self, rating: Rating, days: Deadlines, at: Moment) -> list[BadRatingEscalated]:
        """逐级督办: what ran out since the timer last looked, each once."""
        due = [one for one in self._pending(days, at) if one.day <= at.today]
        if not due:
            return []
        self.revision += 1
        self.escalated = [*self.escalated, *(self._name(one) for one in due)]
        self.level = max([self.level, *(one.level for one in due)])
        self.rectify_late = self.rectify_late or any(one.clock == "rectify" for one in due)
        return [
            BadRatingEscalated(**self.facts(rating, at), level=one.level, clock=one.clock)
            for one in due
        ]

    def is_silent(self, at: Moment) -> bool:
        """The rater got feedback and said nothing in time."""
        return self.state in ANSWERED and self.silent_on is not None and at.today > self.silent_on


class TicketStep(Base):
    """One act on a ticket, for those who must know later: a call, a verification, feedback. Words may tell of a person."""

    __tablename__ = "ticket_step"
    __table_args__ = (Index("ix_ticket_step_ticket", "ticket_id", "id"),)

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    ticket_id: Mapped[UUID] = mapped_column(ForeignKey("ticket.id"))
    round: Mapped[int] = mapped_column(SmallInteger)
    act: Mapped[str] = mapped_column(Text)
    outcome: Mapped[str | None] = mapped_column(Text)
    words: Mapped[str | None] = mapped_column(Encrypted("ticket_step.words"))
    officer: Mapped[str | None] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
