"""申诉复核: a department appeals against a bad rating, two others decide."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.publication.use_cases import plan_publication
from services.ratings.tickets.model.appeal import Appeal
from services.ratings.tickets.model.states import TicketAct
from services.ratings.tickets.queries import appeals, tickets
from services.ratings.tickets.schemas.appeals import MakeAppeal, ReviewAppeal
from services.ratings.tickets.use_cases.tickets import record, take
from shared.database import audit
from shared.domain.workdays import Moment
from shared.errors import ConflictError, NotFoundError
from shared.events.base import Event
from shared.http.etags import check_version
from shared.security.tokens import Caller


async def make_appeal(
    session: AsyncSession,
    ticket_id: UUID,
    command: MakeAppeal,
    expected: int,
    caller: Caller,
    at: Moment,
) -> Appeal:
    """申诉 by the department, once, within the days from the ticket's opening."""
    ticket = await tickets.get_ticket(session, ticket_id, lock=True)
    if (ticket.area_code, ticket.department_code) != (caller.area, caller.department):
        raise NotFoundError("no such ticket of yours")
    check_version(ticket.revision, expected)
    ticket.check(TicketAct.APPEAL)
    work = await take(session, ticket)
    allowed = [act for act in ticket.allowed() if act != TicketAct.APPEAL]
    if work.appeal is not None:
        raise ConflictError("this rating was appealed against already", extra={"allowed": allowed})
    last = at.calendar.add_working_days(ticket.opened_on, work.days.appeal)
    if at.today > last:
        raise ConflictError(f"appeals were possible until {last}", extra={"allowed": allowed})
    appeal = Appeal.against(
        ticket, command.ground, command.reasons, caller.subject, work.days.review, at
    )
    ticket.revision += 1
    session.add(appeal)
    audit.record(
        session, "appeal.make", "appeal", appeal.id, reason=command.reasons, ground=command.ground
    )
    _ = await record(session, work, "appeal", at, officer=caller.subject, outcome=command.ground)
    return appeal


def may_review(appeal: Appeal, caller: Caller, city: str) -> bool:
    """Auditors and supervisors of the area or of the city, never of the department that appeals."""
    place = caller.area in {appeal.area_code, city}
    return (
        bool({"auditor", "supervisor"} & caller.roles)
        and place
        and caller.department != appeal.department_code
    )


async def review_appeal(
    session: AsyncSession,
    appeal_id: UUID,
    command: ReviewAppeal,
    expected: int,
    caller: Caller,
    city: str,
    at: Moment,
) -> Appeal:
    """复核: the second agreement excludes the rating; one refusal decides against the appeal."""
    appeal = await appeals.get_appeal(session, appeal_id)
    if not may_review(appeal, caller, city):
        raise NotFoundError("no such appeal of yours")
    ticket = await tickets.get_ticket(session, appeal.ticket_id, lock=True)
    await session.refresh(appeal, with_for_update=True)
    check_version(appeal.revision, expected)
    work = await take(session, ticket)
    appeal.review(command.agrees, command.reasons, caller.subject, at)
    facts: list[Event] = []
    if appeal.upheld:
        facts.append(appeal.exclude(work.rating, at))
        ticket.exclude(at)
        await plan_publication(session, work.rating, None)
    audit.record(
        session,
        "appeal.review",
        "appeal",
        appeal.id,
        reason=command.reasons,
        agrees=command.agrees,
        state=appeal.state,
    )
    # The department reads its ticket's steps: it learns the opinion, not whose it is.
    _ = await record(
        session, work, "review", at, facts, outcome="agrees" if command.agrees else "refuses"
    )
    return appeal
