"""HTTP in and out of tickets (差评工单)."""

from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from services.ratings import timers
from services.ratings.calendar import queries as calendar_queries
from services.ratings.staff_access import (
    At,
    Config,
    DeadlineReader,
    Handler,
    Head,
    Overseer,
    RatingToken,
    due_cursor,
    scope,
    within,
)
from services.ratings.tickets.model.ticket import Ticket
from services.ratings.tickets.queries import appeals, tickets
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
    TicketStepRead,
    TicketSummary,
    TimerRan,
    TimerRun,
    VerifyTicket,
)
from services.ratings.tickets.use_cases import tickets as use_cases_tickets
from shared.domain import masking
from shared.errors import NotFoundError
from shared.http.dependencies import ReadSession, Session
from shared.http.etags import IfMatch, etag
from shared.pagination import Cursor, Limit, Page, decode_cursor, page_of
from shared.security.auth import Administrator, Citizen, MaybeCaller

router = APIRouter(prefix="/tickets")
own = APIRouter()
FIRST = UUID(int=0)


async def _read(session: Any, ticket: Ticket, response: Response) -> TicketRead:
    """A ticket with its steps, the rater masked."""
    rating = await tickets.get_rating(session, ticket.rating_id)
    invitation = await tickets.find_invitation(session, rating) if rating.real_name else None
    appeal = await appeals.find_appeal(session, ticket.id)
    name = invitation.contact_name if invitation else None
    phone = invitation.phone if invitation else None
    response.headers["etag"] = etag(ticket.revision)
    fields = TicketRead.model_fields
    values = {name: getattr(ticket, name) for name in fields if name in Ticket.__table__.columns}
    about = {name: getattr(rating, name) for name in ("matter_name", "hall", "window", "tags")}
    return TicketRead(
        **values,
        **about,
        text=rating.masked_text,
        applicant=masking.mask_name(name) if name else None,
        phone=masking.mask_phone(phone) if phone else None,
        approved=ticket.approved_by is not None,
        allowed=list(ticket.allowed()),
        appeal_id=appeal.id if appeal else None,
        steps=[
            TicketStepRead.model_validate(step)
            for step in await tickets.list_steps(session, ticket.id)
        ],
    )


@own.get("/own-tickets", response_model=Page[TicketSummary])
async def list_own_tickets(
    session: ReadSession, citizen: Citizen, limit: Limit = 50, cursor: Cursor = None
) -> Any:
    """What became of the caller's own bad ratings."""
    after = decode_cursor(cursor, UUID)[0] if cursor else FIRST
    rows = await tickets.list_own(session, UUID(citizen.subject), citizen.matters, after, limit)
    page, following = page_of(rows, limit, "id")
    return {"items": page, "next": following}


@own.get("/deadlines", response_model=DeadlinesForm)
async def get_deadlines(session: ReadSession, _caller: DeadlineReader) -> Any:
    """办理时限: working days of every step."""
    return await calendar_queries.get_deadlines(session)


@own.put("/deadlines", response_model=DeadlinesForm)
async def set_deadlines(
    command: DeadlinesForm, session: Session, _administrator: Administrator
) -> Any:
    """Set the working days of every step; clocks that run keep theirs."""
    return await use_cases_tickets.set_deadlines(session, command)


@router.get("", response_model=Page[TicketSummary])
async def list_tickets(
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
) -> Any:
    """Open tickets of the officer's department or the supervisor's area, the most urgent first."""
    after = due_cursor(cursor)
    before = (
        at.today
        if overdue
        else None
        if due_within is None
        else at.after(due_within) + timedelta(days=1)
    )
    which = TicketFilter(*scope(caller, settings), caller.subject if mine else None, before)
    rows = await tickets.list_work(session, which, after, limit)
    page, following = page_of(rows, limit, "next_due_on", "id")
    return {"items": page, "next": following}


@router.get("/{ticket_id}", response_model=TicketRead)
async def get_ticket(
    ticket_id: UUID, session: ReadSession, caller: Overseer, settings: Config, response: Response
) -> Any:
    """One ticket with its steps; the rater masked."""
    ticket = await tickets.get_ticket(session, ticket_id)
    if not within(caller, settings, ticket.area_code, ticket.department_code):
        raise NotFoundError("no such ticket of yours")
    return await _read(session, ticket, response)


@router.post("/{ticket_id}/callbacks", response_model=TicketRead)
async def record_callback(
    ticket_id: UUID,
    command: RecordCallback,
    session: Session,
    handler: Handler,
    expected: IfMatch,
    at: At,
    response: Response,
) -> Any:
    """回访: a call to the rater, answered or not."""
    ticket = await use_cases_tickets.record_callback(
        session, ticket_id, command, expected, handler, at
    )
    return await _read(session, ticket, response)


@router.post("/{ticket_id}/verification", response_model=TicketRead)
async def verify_ticket(
    ticket_id: UUID,
    command: VerifyTicket,
    session: Session,
    handler: Handler,
    expected: IfMatch,
    at: At,
    response: Response,
) -> Any:
    """核实: what was found."""
    ticket = await use_cases_tickets.verify_ticket(
        session, ticket_id, command, expected, handler, at
    )
    return await _read(session, ticket, response)


@router.post("/{ticket_id}/rectification", response_model=TicketRead)
async def plan_rectification(
    ticket_id: UUID,
    command: PlanRectification,
    session: Session,
    handler: Handler,
    expected: IfMatch,
    at: At,
    response: Response,
) -> Any:
    """整改方案: simple, or complex with reason and ledger."""
    ticket = await use_cases_tickets.plan_rectification(
        session, ticket_id, command, expected, handler, at
    )
    return await _read(session, ticket, response)


@router.post("/{ticket_id}/rectification/approval", response_model=TicketRead)
async def approve_rectification(
    ticket_id: UUID, session: Session, head: Head, expected: IfMatch, at: At, response: Response
) -> Any:
    """The department's head approves that it is complex: the longer time runs."""
    ticket = await use_cases_tickets.approve_complex(session, ticket_id, expected, head, at)
    return await _read(session, ticket, response)


@router.post("/{ticket_id}/rectification/completion", response_model=TicketRead)
async def complete_rectification(
    ticket_id: UUID,
    command: CloseTicket,
    session: Session,
    handler: Handler,
    expected: IfMatch,
    at: At,
    response: Response,
) -> Any:
    """整改完成, with root cause and action."""
    ticket = await use_cases_tickets.complete_rectification(
        session, ticket_id, command, expected, handler, at
    )
    return await _read(session, ticket, response)


@router.post("/{ticket_id}/explanation", response_model=TicketRead)
async def explain_ticket(
    ticket_id: UUID,
    command: CloseTicket,
    session: Session,
    handler: Handler,
    expected: IfMatch,
    at: At,
    response: Response,
) -> Any:
    """解释说明: what is asked for has no legal basis."""
    ticket = await use_cases_tickets.explain_ticket(
        session, ticket_id, command, expected, handler, at
    )
    return await _read(session, ticket, response)


@router.post("/{ticket_id}/feedback", response_model=TicketRead)
async def give_feedback(
    ticket_id: UUID,
    command: GiveFeedback,
    session: Session,
    handler: Handler,
    expected: IfMatch,
    at: At,
    response: Response,
) -> Any:
    """反馈: what the rater was told."""
    ticket = await use_cases_tickets.give_feedback(
        session, ticket_id, command, expected, handler, at
    )
    return await _read(session, ticket, response)


@router.post("/{ticket_id}/reveals", response_model=Revealed)
async def reveal_rater(ticket_id: UUID, command: Reveal, session: Session, handler: Handler) -> Any:
    """The rater's name and phone; who looked, and why, is kept."""
    name, phone = await use_cases_tickets.reveal_rater(session, ticket_id, command, handler)
    return Revealed(name=name, phone=phone)


def _outcome(ticket: Ticket, response: Response) -> OutcomeRead:
    response.headers["etag"] = etag(ticket.revision)
    names = [name for name in OutcomeRead.model_fields if name != "can_rerate"]
    return OutcomeRead(
        **{name: getattr(ticket, name) for name in names},
        can_rerate="re-rating" in ticket.allowed(),
    )


@router.get("/{ticket_id}/outcome", response_model=OutcomeRead)
async def get_outcome(
    ticket_id: UUID,
    session: ReadSession,
    caller: MaybeCaller,
    response: Response,
    token: RatingToken = None,
) -> Any:
    """What was done about one's own bad rating."""
    return _outcome(await use_cases_tickets.get_own(session, ticket_id, caller, token), response)


@router.post("/{ticket_id}/re-rating", response_model=OutcomeRead)
async def rerate_ticket(
    ticket_id: UUID,
    command: Rerate,
    session: Session,
    caller: MaybeCaller,
    expected: IfMatch,
    at: At,
    response: Response,
    token: RatingToken = None,
) -> Any:
    """再评价: the rater judges what was done; the first grade stays."""
    ticket = await use_cases_tickets.rerate_ticket(
        session, ticket_id, command, expected, caller, token, at
    )
    return _outcome(ticket, response)


@own.post("/development/timer-runs", response_model=TimerRan)
async def run_timers(
    command: TimerRun, request: Request, settings: Config, _administrator: Administrator
) -> Any:
    """Run the clocks of tickets and publication as if it were `as_of`; 404 in production."""
    if not settings.development:
        raise NotFoundError("only in development")
    watched = await timers.watch_tickets(request.app.state.database, command.as_of)
    published = await timers.publish_ratings(request.app.state.database, command.as_of)
    return TimerRan(escalated=watched.escalated, closed=watched.closed, published=published)
