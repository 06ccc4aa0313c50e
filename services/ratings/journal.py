"""The one writer of history: audit trail, steps of tickets, counters and events of every act.

An act appends what happened and writes it once, at its end and in its transaction:

    journal = Journal(session)
    journal.append(Entry(Action.SUPPLEMENT_RATING, rating.id), rating_supplemented)
    await journal.write()

Audit rows and events take who acts, and when it was written down, from the context.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.rating.model.rating import Rating
from services.ratings.rating.model.steps import TicketAct, TicketStep
from services.ratings.statistics.model.counts import Countable, Figures
from services.ratings.statistics.use_cases import (
    CountChange,
    count_changes,
    count_invitations,
)
from shared.database import audit
from shared.database.tables import AuditRow
from shared.events.base import Event
from shared.ids import new_id
from shared.messaging import outbox


class Action(StrEnum):
    """Everything that is recorded, as the audit trail names it."""

    INVITE = "invitations.make"
    SEND_INVITATIONS = "invitations.send"
    SHOW_CODE = "invitation.show-code"
    ORDER_BATCH = "token-batch.order"
    DOWNLOAD_BATCH = "token-batch.download"
    ROTATE_KEYS = "signing-keys.rotate"
    SUBMIT_RATING = "rating.submit"
    JUDGE_RECORDS = "ratings.take-records"
    SUPPLEMENT_RATING = "rating.supplement"
    PUBLISH_RATING = "rating.publish"
    MODERATE_TEXT = "rating.moderate"
    OPEN_TICKET = "ticket.open"
    VERIFY_TICKET = "ticket.verify"
    CALL_BACK = "ticket.call_back"
    PLAN_RECTIFICATION = "ticket.plan"
    APPROVE_RECTIFICATION = "ticket.approve"
    COMPLETE_RECTIFICATION = "ticket.complete"
    EXPLAIN_TICKET = "ticket.explain"
    GIVE_FEEDBACK = "ticket.feed_back"
    RERATE_TICKET = "ticket.rerate"
    ESCALATE_TICKET = "ticket.escalate"
    CLOSE_TICKET = "ticket.close"
    APPEAL_IN_TICKET = "ticket.appeal"
    REVIEW_IN_TICKET = "ticket.review"
    REVEAL_RATER = "ticket.reveal"
    MAKE_APPEAL = "appeal.make"
    REVIEW_APPEAL = "appeal.review"
    SET_DEADLINES = "deadlines.set"

    @property
    def object_type(self) -> str:
        """The kind of the object that it is done to."""
        kind, _, _ = self.value.partition(".")
        return OBJECT_TYPES.get(kind, kind)


OBJECT_TYPES = {
    "invitations": "invitation",
    "token-batch": "token_batch",
    "signing-keys": "signing_key",
    "ratings": "batch",
    "deadlines": "deadline",
}
"""Object types that are not the first part of their action."""

TICKET_ACTIONS: dict[TicketAct, Action] = {
    TicketAct.VERIFY: Action.VERIFY_TICKET,
    TicketAct.CALL_BACK: Action.CALL_BACK,
    TicketAct.PLAN: Action.PLAN_RECTIFICATION,
    TicketAct.APPROVE: Action.APPROVE_RECTIFICATION,
    TicketAct.COMPLETE: Action.COMPLETE_RECTIFICATION,
    TicketAct.EXPLAIN: Action.EXPLAIN_TICKET,
    TicketAct.FEED_BACK: Action.GIVE_FEEDBACK,
    TicketAct.RERATE: Action.RERATE_TICKET,
    TicketAct.APPEAL: Action.APPEAL_IN_TICKET,
    TicketAct.REVIEW: Action.REVIEW_IN_TICKET,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the audit trail. `detail` holds JSON values without personal data."""

    action: Action
    object_id: object
    reason: str | None = None
    detail: Mapping[str, object] = field(default_factory=dict[str, object])


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a ticket in its present `round`.

    `officer` is None where nobody may learn who it was. `words` may tell of a person: they are
    stored encrypted.
    """

    ticket_id: UUID
    round: int
    act: TicketAct
    at: datetime
    officer: str | None = None
    outcome: str | None = None
    words: str | None = None


class Journal:
    """Collects what an act leaves behind, and writes it in the transaction of the act."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session
        self._rows: list[AuditRow | TicketStep] = []
        self._events: list[Event] = []
        self._changes: list[CountChange] = []
        self._invitations: list[Countable] = []

    def append(self, entry: Entry, *events: Event) -> None:
        """An audit row, and the events that go with it."""
        # Made now and not in `write`: rows keep the order in which things happened.
        columns = audit.entry(
            entry.action.value,
            object_type=entry.action.object_type,
            object_id=entry.object_id,
            reason=entry.reason,
            **entry.detail,
        )
        self._rows.append(AuditRow(**columns))
        self._events += events

    def append_step(self, step: Step, *events: Event, detail: Mapping[str, object]) -> None:
        """A step of a ticket, its audit row, and the events that go with it."""
        row = TicketStep(
            id=new_id(),
            ticket_id=step.ticket_id,
            round=step.round,
            act=step.act,
            officer=step.officer,
            outcome=step.outcome,
            words=step.words,
            at=step.at,
        )
        self._rows.append(row)
        action = TICKET_ACTIONS[step.act]
        self.append(Entry(action, step.ticket_id, detail=detail), *events)

    def count_rating(self, rating: Rating, *, before: Figures, after: Figures) -> None:
        """The rating counts for `after` from now on, where it counted for `before`."""
        self._changes.append(CountChange(rating, before, after))

    def count_invitations(self, invitations: Iterable[Countable]) -> None:
        """These invitations were just made."""
        self._invitations += invitations

    async def write(self) -> None:
        """Write what was appended: events in their order, counters, audit rows and steps."""
        # The events first: their statement also flushes the changed entities.
        await outbox.add_many(self._session, self._events)
        await count_invitations(self._session, self._invitations)
        await count_changes(self._session, self._changes)
        # Last, so that the rows of all journals of a transaction are inserted by one statement.
        self._session.add_all(self._rows)
        # An act may go on after writing, and write again.
        self._rows, self._events, self._changes, self._invitations = [], [], [], []
