"""HTTP in and out of tickets (差评工单)."""

from datetime import date, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from services.ratings.access import (
    Config,
    DeadlineReader,
    Handler,
    HandlerAct,
    HeadAct,
    Overseer,
    RatingToken,
    due_cursor,
    id_cursor,
    scope_of,
)
from services.ratings.calendar import queries as calendar_queries
from services.ratings.calendar.dependencies import At
from services.ratings.tickets.model.ticket import Ticket
from services.ratings.tickets.queries import tickets
from services.ratings.tickets.queries.tickets import TicketFilter
from services.ratings.tickets.schemas.tickets import (
    CloseTicket,
    DeadlinesForm,
    GiveFeedback,
    OutcomeRead,
    PlanRectification,
    RecordCallback,
    Rerate,
    Reveal,
    Revealed,
    TicketRead,
    TicketSummary,
    VerifyTicket,
)
from services.ratings.tickets.use_cases import deadlines, raters
from services.ratings.tickets.use_cases import tickets as handling
from services.ratings.tickets.use_cases.raters import PossibleRater
from services.ratings.tickets.views import read_outcome, read_ticket
from shared.database.acts import Act
from shared.domain.workdays import Moment
from shared.errors import NotFoundError
from shared.http.dependencies import ReadSession, Session
from shared.http.etags import IfMatch, etag
from shared.pagination import Cursor, Limit, Page, page_of
from shared.security.auth import Administrator, Citizen, MaybeCaller

router = APIRouter(prefix="/tickets")
own = APIRouter()


async def _answer(act: Act[Moment], ticket: Ticket) -> TicketRead:
    act.headers["etag"] = etag(ticket.revision)
    return await read_ticket(act.session, ticket)


@own.get("/own-tickets")
async def list_own_tickets(
    session: ReadSession, citizen: Citizen, limit: Limit = 50, cursor: Cursor = None
) -> Page[TicketSummary]:
    """What became of the caller's own bad ratings."""
    rows = await tickets.list_own(
        session,
        UUID(citizen.subject),
        matters=citizen.matters,
        after=id_cursor(cursor),
        limit=limit,
    )
    page, next_cursor = page_of(rows, limit, "id")
    items = [TicketSummary.model_validate(row) for row in page]
    return Page[TicketSummary](items=items, next=next_cursor)


@own.get("/deadlines")
async def get_deadlines(session: ReadSession, _caller: DeadlineReader) -> DeadlinesForm:
    """办理时限: working days of every step."""
    return DeadlinesForm.model_validate(await calendar_queries.get_deadlines(session))


@own.put("/deadlines")
async def set_deadlines(
    command: DeadlinesForm, session: Session, _administrator: Administrator
) -> DeadlinesForm:
    """Set the working days of every step; clocks that run keep theirs."""
    return DeadlinesForm.model_validate(await deadlines.set_deadlines(session, command))


def _due_before(at: Moment, *, overdue: bool, due_within: int | None) -> date | None:
    if overdue:
        return at.today
    if due_within is None:
        return None
    return at.after(due_within) + timedelta(days=1)


@router.get("")
async def list_tickets(
    *,
    session: ReadSession,
    caller: Overseer,
    settings: Config,
    at: At,
    mine: Annotated[bool, Query(description="Only those that the caller acted on last")] = False,
    overdue: Annotated[bool, Query(description="Only those with a clock that ran out")] = False,
    due_within: Annotated[
        int | None, Query(ge=0, le=60, description="Due within so many working days")
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[TicketSummary]:
    """Open tickets of the officer's department or the supervisor's area, the most urgent first."""
    handler = caller.subject if mine else None
    due_before = _due_before(at, overdue=overdue, due_within=due_within)
    which = TicketFilter(scope_of(caller, settings), handler=handler, due_before=due_before)
    rows = await tickets.list_work(session, which, after=due_cursor(cursor), limit=limit)
    page, next_cursor = page_of(rows, limit, "next_due_on", "id")
    items = [TicketSummary.model_validate(row) for row in page]
    return Page[TicketSummary](items=items, next=next_cursor)


@router.get("/{ticket_id}")
async def get_ticket(
    ticket_id: UUID, session: ReadSession, caller: Overseer, settings: Config, response: Response
) -> TicketRead:
    """One ticket with its steps; the rater masked."""
    ticket = await tickets.get_ticket(session, ticket_id)
    if not scope_of(caller, settings).contains(ticket.office):
        raise NotFoundError("no such ticket of yours")
    response.headers["etag"] = etag(ticket.revision)
    return await read_ticket(session, ticket)


@router.post("/{ticket_id}/callbacks")
async def record_callback(ticket_id: UUID, command: RecordCallback, act: HandlerAct) -> TicketRead:
    """回访: a call to the rater, answered or not."""
    return await _answer(act, await handling.record_callback(act, ticket_id, command=command))


@router.post("/{ticket_id}/verification")
async def verify_ticket(ticket_id: UUID, command: VerifyTicket, act: HandlerAct) -> TicketRead:
    """核实: what was found."""
    return await _answer(act, await handling.verify_ticket(act, ticket_id, command=command))


@router.post("/{ticket_id}/rectification")
async def plan_rectification(
    ticket_id: UUID, command: PlanRectification, act: HandlerAct
) -> TicketRead:
    """整改方案: simple, or complex with reason and ledger."""
    return await _answer(act, await handling.plan_rectification(act, ticket_id, command=command))


@router.post("/{ticket_id}/rectification/approval")
async def approve_rectification(ticket_id: UUID, act: HeadAct) -> TicketRead:
    """The department's head approves that it is complex: the longer time runs."""
    return await _answer(act, await handling.approve_complex(act, ticket_id))


@router.post("/{ticket_id}/rectification/completion")
async def complete_rectification(
    ticket_id: UUID, command: CloseTicket, act: HandlerAct
) -> TicketRead:
    """整改完成, with root cause and action."""
    return await _answer(
        act, await handling.complete_rectification(act, ticket_id, command=command)
    )


@router.post("/{ticket_id}/explanation")
async def explain_ticket(ticket_id: UUID, command: CloseTicket, act: HandlerAct) -> TicketRead:
    """解释说明: what is asked for has no legal basis."""
    return await _answer(act, await handling.explain_ticket(act, ticket_id, command=command))


@router.post("/{ticket_id}/feedback")
async def give_feedback(ticket_id: UUID, command: GiveFeedback, act: HandlerAct) -> TicketRead:
    """反馈: what the rater was told."""
    return await _answer(act, await handling.give_feedback(act, ticket_id, command=command))


@router.post("/{ticket_id}/reveals")
async def reveal_rater(
    ticket_id: UUID, command: Reveal, session: Session, handler: Handler
) -> Revealed:
    """The rater's name and phone; who looked, and why, is kept."""
    rater = await handling.reveal_rater(session, ticket_id, command=command, caller=handler)
    return Revealed(name=rater.name, phone=rater.phone)


@router.get("/{ticket_id}/outcome")
async def get_outcome(
    ticket_id: UUID,
    session: ReadSession,
    caller: MaybeCaller,
    response: Response,
    token: RatingToken = None,
) -> OutcomeRead:
    """What was done about one's own bad rating."""
    ticket = await raters.get_own(session, ticket_id, who=PossibleRater(caller, token))
    response.headers["etag"] = etag(ticket.revision)
    return read_outcome(ticket)


@router.post("/{ticket_id}/re-rating")
async def rerate_ticket(
    *,
    ticket_id: UUID,
    command: Rerate,
    session: Session,
    caller: MaybeCaller,
    expected: IfMatch,
    at: At,
    response: Response,
    token: RatingToken = None,
) -> OutcomeRead:
    """再评价: the rater judges what was done; the first grade stays."""
    ticket = await raters.rerate_ticket(
        session,
        ticket_id,
        command=command,
        who=PossibleRater(caller, token),
        expected=expected,
        at=at,
    )
    response.headers["etag"] = etag(ticket.revision)
    return read_outcome(ticket)
