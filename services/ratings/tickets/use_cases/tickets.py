"""差评整改: what a department does about a bad rating, in the order of a ticket's life.

Each act locks the ticket, then its rating.
"""

from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.invitations.queries.invitations import find_invitation
from services.ratings.journal import Action, Entry, Journal
from services.ratings.rating.model.steps import Outcome, TicketAct
from services.ratings.rating.queries import get_rating
from services.ratings.tickets.model.ticket import RootCauseFound, Ticket
from services.ratings.tickets.queries import tickets
from services.ratings.tickets.schemas.tickets import (
    CloseTicket,
    GiveFeedback,
    PlanRectification,
    RecordCallback,
    Reveal,
    VerifyTicket,
)
from services.ratings.tickets.use_cases.locking import check_office, lock_for
from shared.database.acts import Act
from shared.domain.workdays import Moment
from shared.security.tokens import Caller


async def verify_ticket(act: Act[Moment], ticket_id: UUID, *, command: VerifyTicket) -> Ticket:
    """核实."""
    locked = await lock_for(act, ticket_id)
    officer = act.caller.subject
    events = locked.ticket.verify(
        locked.rating, confirmed=command.confirmed, officer=officer, at=act.at
    )
    outcome = Outcome.CONFIRMED if command.confirmed else Outcome.NOT_CONFIRMED
    return await locked.record(
        TicketAct.VERIFY,
        *events,
        at=act.at,
        officer=officer,
        outcome=outcome,
        words=command.words,
    )


async def record_callback(act: Act[Moment], ticket_id: UUID, *, command: RecordCallback) -> Ticket:
    """回访: one call."""
    locked = await lock_for(act, ticket_id)
    officer = act.caller.subject
    events = locked.ticket.call_back(
        locked.rating, reached=command.reached, officer=officer, at=act.at
    )
    outcome = Outcome.REACHED if command.reached else Outcome.NOT_REACHED
    return await locked.record(
        TicketAct.CALL_BACK,
        *events,
        at=act.at,
        officer=officer,
        outcome=outcome,
        words=command.words,
    )


async def plan_rectification(
    act: Act[Moment], ticket_id: UUID, *, command: PlanRectification
) -> Ticket:
    """整改方案."""
    locked = await lock_for(act, ticket_id)
    officer = act.caller.subject
    locked.ticket.plan(
        command.kind, reason=command.reason, ledger=command.ledger, officer=officer, at=act.at
    )
    return await locked.record(
        TicketAct.PLAN, at=act.at, officer=officer, outcome=command.kind, words=command.words
    )


async def approve_complex(act: Act[Moment], ticket_id: UUID) -> Ticket:
    """The department's head agrees that a rectification is complex."""
    locked = await lock_for(act, ticket_id)
    officer = act.caller.subject
    locked.ticket.approve(officer, days=locked.days, at=act.at)
    return await locked.record(TicketAct.APPROVE, at=act.at, officer=officer)


async def complete_rectification(
    act: Act[Moment], ticket_id: UUID, *, command: CloseTicket
) -> Ticket:
    """整改完成."""
    locked = await lock_for(act, ticket_id)
    officer = act.caller.subject
    found = RootCauseFound(command.root_cause, command.words, command.action)
    rectified = locked.ticket.complete(locked.rating, found, officer=officer, at=act.at)
    return await locked.record(
        TicketAct.COMPLETE, rectified, at=act.at, officer=officer, outcome=found.cause
    )


async def explain_ticket(act: Act[Moment], ticket_id: UUID, *, command: CloseTicket) -> Ticket:
    """解释说明: no legal basis."""
    locked = await lock_for(act, ticket_id)
    officer = act.caller.subject
    found = RootCauseFound(command.root_cause, command.words, command.action)
    explained = locked.ticket.explain(locked.rating, found, officer=officer, at=act.at)
    return await locked.record(
        TicketAct.EXPLAIN, explained, at=act.at, officer=officer, outcome=found.cause
    )


async def give_feedback(act: Act[Moment], ticket_id: UUID, *, command: GiveFeedback) -> Ticket:
    """反馈 to the rater."""
    locked = await lock_for(act, ticket_id)
    officer = act.caller.subject
    locked.ticket.feed_back(officer, days=locked.days, at=act.at)
    return await locked.record(
        TicketAct.FEED_BACK,
        at=act.at,
        officer=officer,
        outcome=command.by,
        words=command.words,
    )


class RevealedRater(NamedTuple):
    """Name and phone, where they are known."""

    name: str | None
    phone: str | None


async def reveal_rater(
    session: AsyncSession, ticket_id: UUID, *, command: Reveal, caller: Caller
) -> RevealedRater:
    """Name and phone of the rater, for the call. Who looked, and why, is recorded first."""
    ticket = await tickets.get_ticket(session, ticket_id)
    check_office(ticket, caller)
    rating = await get_rating(session, ticket.rating_id)
    invitation = await find_invitation(session, rating.invitation_id)
    journal = Journal(session)
    detail = {"fields": ["name", "phone"]}
    journal.append(Entry(Action.REVEAL_RATER, ticket.id, reason=command.reason, detail=detail))
    await journal.write()
    # Also an empty answer is on record: somebody tried.
    if invitation is None or not rating.real_name:
        return RevealedRater(None, None)
    return RevealedRater(invitation.contact_name, invitation.phone)
