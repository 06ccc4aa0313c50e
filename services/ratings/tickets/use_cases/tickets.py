"""差评整改: what follows from a bad rating, in the order of a ticket's life. Each act locks the ticket, then its rating."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.calendar import queries as calendar_queries
from services.ratings.calendar.model import Deadline, Deadlines
from services.ratings.calendar.queries import get_calendar
from services.ratings.invitations.credentials.find import believe, rated_by
from services.ratings.publication.use_cases import plan_publication
from services.ratings.rating.model.rating import Rating
from services.ratings.rating.model.suspicions import BAD_TEXT
from services.ratings.statistics.model.counts import Figures, figures
from services.ratings.statistics.use_cases import count_changes
from services.ratings.tickets.model.appeal import Appeal
from services.ratings.tickets.model.states import TicketState
from services.ratings.tickets.model.ticket import Ticket, TicketStep
from services.ratings.tickets.queries import appeals, tickets
from services.ratings.tickets.schemas.tickets import (
    CloseTicket,
    DeadlinesForm,
    GiveFeedback,
    PlanRectification,
    RecordCallback,
    Rerate,
    Reveal,
    VerifyTicket,
)
from shared.database import audit
from shared.domain.workdays import Moment
from shared.errors import ForbiddenError, NotFoundError
from shared.events.base import Event
from shared.http.etags import check_version
from shared.ids import new_id
from shared.messaging import outbox
from shared.security.tokens import Caller

BATCH = 200


async def follow_rating(session: AsyncSession, rating: Rating, at: Moment) -> None:
    """What a rating that was just stored leads to, in the same transaction: a bad one opens a ticket (grade 1 or 2, or 3
    with `BAD_TEXT` among its suspicions), one with words or a ticket is published later."""
    days = await calendar_queries.get_deadlines(session)
    bad = rating.is_bad or (rating.grade == 3 and BAD_TEXT in rating.suspicions)
    if bad:
        ticket = Ticket.over(rating)
        fact = ticket.open(rating, days, at)
        session.add(ticket)
        outbox.add(session, fact)
        audit.record(session, "ticket.open", "ticket", ticket.id, grade=rating.grade)
    if bad or rating.masked_text:
        await plan_publication(session, rating, None if bad else at.after(days.publish))


async def follow_supplement(session: AsyncSession, rating: Rating, at: Moment) -> None:
    """Words added to a rating that had none, and no ticket, are published later like any others."""
    if (
        not rating.masked_text
        and len(rating.supplements) == 1
        and await tickets.find_ticket_of(session, rating.id) is None
    ):
        days = await calendar_queries.get_deadlines(session)
        await plan_publication(session, rating, at.after(days.publish))


@dataclass(frozen=True, slots=True)
class Work:
    """A locked ticket with its rating, and what the rating counted for before the act."""

    ticket: Ticket
    rating: Rating
    appeal: Appeal | None
    days: Deadlines
    before: Figures


async def take(session: AsyncSession, ticket: Ticket) -> Work:
    """Everything that an act on a locked ticket needs."""
    rating = await tickets.get_rating(session, ticket.rating_id, lock=True)
    appeal = await appeals.find_appeal(session, ticket.id)
    days = await calendar_queries.get_deadlines(session)
    return Work(ticket, rating, appeal, days, figures(rating, ticket, appeal))


async def _departments(
    session: AsyncSession, ticket_id: UUID, expected: int, caller: Caller
) -> Work:
    """A ticket of the officer's area and department, locked, at the version that was read."""
    ticket = await tickets.get_ticket(session, ticket_id, lock=True)
    if (ticket.area_code, ticket.department_code) != (caller.area, caller.department):
        raise NotFoundError("no such ticket of yours")
    check_version(ticket.revision, expected)
    return await take(session, ticket)


async def record(
    session: AsyncSession,
    work: Work,
    act: str,
    at: Moment,
    facts: Sequence[Event] = (),
    *,
    officer: str | None = None,
    outcome: str | None = None,
    words: str | None = None,
) -> Ticket:
    """Facts, the ticket's steps, the audit trail and the counters of one act."""
    ticket = work.ticket
    ticket.watch(work.days, at)
    step = TicketStep(
        id=new_id(), ticket_id=ticket.id, round=ticket.round, act=act, officer=officer, at=at.now
    )
    step.outcome, step.words = outcome, words
    session.add(step)
    for fact in facts:
        outbox.add(session, fact)
    audit.record(
        session, f"ticket.{act}", "ticket", ticket.id, outcome=outcome, revision=ticket.revision
    )
    await session.flush()
    await count_changes(session, [(work.rating, ticket, work.appeal, work.before)])
    return ticket


async def verify_ticket(
    session: AsyncSession,
    ticket_id: UUID,
    command: VerifyTicket,
    expected: int,
    caller: Caller,
    at: Moment,
) -> Ticket:
    """核实."""
    work = await _departments(session, ticket_id, expected, caller)
    facts = work.ticket.verify(command.confirmed, caller.subject, work.rating, at)
    outcome = "confirmed" if command.confirmed else "not_confirmed"
    return await record(
        session,
        work,
        "verify",
        at,
        facts,
        officer=caller.subject,
        outcome=outcome,
        words=command.words,
    )


async def record_callback(
    session: AsyncSession,
    ticket_id: UUID,
    command: RecordCallback,
    expected: int,
    caller: Caller,
    at: Moment,
) -> Ticket:
    """回访: one call."""
    work = await _departments(session, ticket_id, expected, caller)
    facts = work.ticket.call_back(command.reached, caller.subject, work.rating, at)
    outcome = "reached" if command.reached else "not_reached"
    return await record(
        session,
        work,
        "call_back",
        at,
        facts,
        officer=caller.subject,
        outcome=outcome,
        words=command.words,
    )


async def plan_rectification(
    session: AsyncSession,
    ticket_id: UUID,
    command: PlanRectification,
    expected: int,
    caller: Caller,
    at: Moment,
) -> Ticket:
    """整改方案."""
    work = await _departments(session, ticket_id, expected, caller)
    work.ticket.plan(command.kind, command.reason, command.ledger, caller.subject, at)
    return await record(
        session, work, "plan", at, officer=caller.subject, outcome=command.kind, words=command.words
    )


async def approve_complex(
    session: AsyncSession, ticket_id: UUID, expected: int, caller: Caller, at: Moment
) -> Ticket:
    """The department's head agrees that a rectification is complex."""
    work = await _departments(session, ticket_id, expected, caller)
    work.ticket.approve(caller.subject, work.days, at)
    return await record(session, work, "approve", at, officer=caller.subject)


async def complete_rectification(
    session: AsyncSession,
    ticket_id: UUID,
    command: CloseTicket,
    expected: int,
    caller: Caller,
    at: Moment,
) -> Ticket:
    """整改完成."""
    work = await _departments(session, ticket_id, expected, caller)
    words = (command.root_cause, command.words, command.action)
    facts = [work.ticket.complete(*words, caller.subject, work.rating, at)]
    return await record(
        session, work, "complete", at, facts, officer=caller.subject, outcome=command.root_cause
    )


async def explain_ticket(
    session: AsyncSession,
    ticket_id: UUID,
    command: CloseTicket,
    expected: int,
    caller: Caller,
    at: Moment,
) -> Ticket:
    """解释说明: no legal basis."""
    work = await _departments(session, ticket_id, expected, caller)
    words = (command.root_cause, command.words, command.action)
    facts = [work.ticket.explain(*words, caller.subject, work.rating, at)]
    return await record(
        session, work, "explain", at, facts, officer=caller.subject, outcome=command.root_cause
    )


async def give_feedback(
    session: AsyncSession,
    ticket_id: UUID,
    command: GiveFeedback,
    expected: int,
    caller: Caller,
    at: Moment,
) -> Ticket:
    """反馈 to the rater."""
    work = await _departments(session, ticket_id, expected, caller)
    work.ticket.feed_back(caller.subject, work.days, at)
    return await record(
        session,
        work,
        "feed_back",
        at,
        officer=caller.subject,
        outcome=command.by,
        words=command.words,
    )


async def is_rater(
    session: AsyncSession, rating: Rating, caller: Caller | None, token: str | None
) -> bool:
    """Whether this is who rated: by the account, within the matters of an agent's mandate, or by the token she was given."""
    if (
        caller is not None
        and rating.account_id is not None
        and str(rating.account_id) == caller.subject
    ):
        return caller.covers(rating.matter_id)
    if token is None:
        return False
    try:
        return await rated_by(session, await believe(session, token)) == rating.invitation_id
    except ForbiddenError:
        return False


async def get_own(
    session: AsyncSession, ticket_id: UUID, caller: Caller | None, token: str | None
) -> Ticket:
    """A ticket about the caller's own rating."""
    ticket = await tickets.get_ticket(session, ticket_id)
    rating = await tickets.get_rating(session, ticket.rating_id)
    if not await is_rater(session, rating, caller, token):
        raise NotFoundError("no such ticket of yours")
    return ticket


async def rerate_ticket(
    session: AsyncSession,
    ticket_id: UUID,
    command: Rerate,
    expected: int,
    caller: Caller | None,
    token: str | None,
    at: Moment,
) -> Ticket:
    """再评价: satisfied closes; not satisfied begins a second round, once."""
    ticket = await tickets.get_ticket(session, ticket_id, lock=True)
    rating = await tickets.get_rating(session, ticket.rating_id)
    if not await is_rater(session, rating, caller, token):
        raise NotFoundError("no such ticket of yours")
    check_version(ticket.revision, expected)
    work = await take(session, ticket)
    facts: list[Event] = [ticket.rerate(command.grade, rating, at)]
    if ticket.reopens:
        facts.append(ticket.open(rating, work.days, at))
    else:
        await close(session, work, at)
    outcome = "satisfied" if ticket.satisfied else "not_satisfied"
    return await record(session, work, "rerate", at, facts, outcome=outcome)


async def close(session: AsyncSession, work: Work, at: Moment) -> None:
    """The end of a ticket: from now the days until publication run."""
    work.ticket.close(at)
    await plan_publication(session, work.rating, at.after(work.days.publish))


async def reveal_rater(
    session: AsyncSession, ticket_id: UUID, command: Reveal, caller: Caller
) -> tuple[str | None, str | None]:
    """Name and phone of the rater, for the call; who looked, and why, is on record before they are told."""
    ticket = await tickets.get_ticket(session, ticket_id)
    if (ticket.area_code, ticket.department_code) != (caller.area, caller.department):
        raise NotFoundError("no such ticket of yours")
    rating = await tickets.get_rating(session, ticket.rating_id)
    invitation = await tickets.find_invitation(session, rating)
    audit.record(
        session,
        "ticket.reveal",
        "ticket",
        ticket.id,
        reason=command.reason,
        fields=["name", "phone"],
    )
    if invitation is None or not rating.real_name:
        return None, None
    return invitation.contact_name, invitation.phone


async def set_deadlines(session: AsyncSession, command: DeadlinesForm) -> Deadlines:
    """From now on; clocks that run keep the days they began with."""
    days = command.model_dump()
    statement = insert(Deadline).values(
        [{"name": name, "days": number} for name, number in sorted(days.items())]
    )
    _ = await session.execute(
        statement.on_conflict_do_update(
            index_elements=["name"], set_={"days": statement.excluded.days}
        )
    )
    audit.record(session, "deadlines.set", "deadline", "all", **days)
    return Deadlines(**days)


@dataclass(frozen=True, slots=True)
class Watched:
    """How many tickets the timer looked at, escalated (clocks and levels) and closed."""

    tickets: int = 0
    escalated: int = 0
    closed: int = 0


async def watch_due(session: AsyncSession, now: datetime) -> Watched:
    """Escalate what ran out and close what the rater left silent: one batch, claimed for this worker."""
    at = Moment(now, await get_calendar(session))
    found = await tickets.list_watched(session, at.today, BATCH)
    if not found:
        return Watched()
    days = await calendar_queries.get_deadlines(session)
    ratings = await tickets.list_ratings(session, [ticket.rating_id for ticket in found])
    known = await appeals.find_appeals(session, [ticket.id for ticket in found])
    facts: list[Event] = []
    changes: list[tuple[Rating, Ticket | None, Appeal | None, Figures]] = []
    for ticket in found:
        rating, appeal = ratings[ticket.rating_id], known.get(ticket.id)
        work = Work(ticket, rating, appeal, days, figures(rating, ticket, appeal))
        told = ticket.escalate(rating, days, at)
        for fact in told:
            audit.record(
                session, "ticket.escalate", "ticket", ticket.id, clock=fact.clock, level=fact.level
            )
        facts += told
        if ticket.is_silent(at):
            ticket.revision += 1
            await close(session, work, at)
            audit.record(session, "ticket.close", "ticket", ticket.id, outcome="silent")
        ticket.watch(days, at)
        changes.append((rating, ticket, appeal, work.before))
    await outbox.add_many(session, facts)
    await session.flush()
    await count_changes(session, changes)
    closed = sum(ticket.state == TicketState.CLOSED for ticket in found)
    return Watched(len(found), len(facts), closed)
