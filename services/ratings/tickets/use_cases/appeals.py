"""申诉复核: a department appeals against a bad rating, two others decide."""

from uuid import UUID

from services.ratings.journal import Action, Entry
from services.ratings.model_base import Role
from services.ratings.publication.use_cases import plan_publication
from services.ratings.rating.model.steps import Outcome, TicketAct
from services.ratings.tickets.model.appeal import Appeal
from services.ratings.tickets.model.states import NextAct
from services.ratings.tickets.queries import appeals, tickets
from services.ratings.tickets.schemas.appeals import MakeAppeal, ReviewAppeal
from services.ratings.tickets.use_cases.locking import LockedTicket, lock_for, lock_rest
from shared.database.acts import Act
from shared.domain.workdays import Moment
from shared.errors import ConflictError, NotFoundError
from shared.events.base import Event
from shared.events.ratings import RatingExcluded
from shared.http.etags import check_version
from shared.security.tokens import Caller


async def make_appeal(act: Act[Moment], ticket_id: UUID, *, command: MakeAppeal) -> Appeal:
    """申诉 by the department, once, within the days from the ticket's opening."""
    locked = await lock_for(act, ticket_id)
    ticket = locked.ticket
    officer = act.caller.subject
    _check_appealable(locked, act.at)
    appeal = Appeal.against(
        ticket,
        command.ground,
        reasons=command.reasons,
        officer=officer,
        review_days=locked.days.review,
        at=act.at,
    )
    act.session.add(appeal)
    # An appeal changes what can be done to the ticket, so an officer's old page is refused.
    ticket.revision += 1
    detail = {"ground": command.ground.value}
    locked.journal.append(
        Entry(Action.MAKE_APPEAL, appeal.id, reason=command.reasons, detail=detail)
    )
    _ = await locked.record(TicketAct.APPEAL, at=act.at, officer=officer, outcome=command.ground)
    return appeal


def _check_appealable(locked: LockedTicket, at: Moment) -> None:
    """Raise `ConflictError` where an appeal is not possible now, or not any more."""
    ticket = locked.ticket
    ticket.check(NextAct.APPEAL)
    others = [other for other in ticket.allowed() if other != NextAct.APPEAL]
    if locked.appeal is not None:
        raise ConflictError("this rating was appealed against already", extra={"allowed": others})
    last = at.calendar.add_working_days(ticket.opened_on, locked.days.appeal)
    if at.today > last:
        raise ConflictError(
            "appeals were possible until {last}", last=last, extra={"allowed": others}
        )


def may_review(appeal: Appeal, caller: Caller, *, city: str) -> bool:
    """Auditors and supervisors of the area or of the city, never of the department that appeals."""
    is_reviewer = bool({Role.AUDITOR, Role.SUPERVISOR} & caller.roles)
    sees_area = caller.area in {appeal.area_code, city}
    return is_reviewer and sees_area and caller.department != appeal.department_code


async def review_appeal(
    act: Act[Moment], appeal_id: UUID, *, command: ReviewAppeal, city: str
) -> Appeal:
    """复核: the second agreement excludes the rating; one refusal decides against the appeal."""
    appeal, locked = await _lock_appeal(act, appeal_id, city=city)
    appeal.review(act.caller.subject, agrees=command.agrees, reasons=command.reasons, at=act.at)
    events: list[Event] = []
    if appeal.upheld:
        events.append(await _exclude(act, locked, appeal=appeal))
    detail = {"agrees": command.agrees, "state": appeal.state.value}
    locked.journal.append(
        Entry(Action.REVIEW_APPEAL, appeal.id, reason=command.reasons, detail=detail)
    )
    # The department reads its ticket's steps: it learns the opinion, not whose it is.
    outcome = Outcome.AGREES if command.agrees else Outcome.REFUSES
    _ = await locked.record(TicketAct.REVIEW, *events, at=act.at, outcome=outcome)
    return appeal


async def _lock_appeal(
    act: Act[Moment], appeal_id: UUID, *, city: str
) -> tuple[Appeal, LockedTicket]:
    """An appeal that the caller may review, with its ticket, at the version that was read."""
    appeal = await appeals.get_appeal(act.session, appeal_id)
    if not may_review(appeal, act.caller, city=city):
        raise NotFoundError("no such appeal of yours")
    # The ticket is locked first, as by every act on it; then the appeal is read as it is now.
    ticket = await tickets.get_ticket(act.session, appeal.ticket_id, lock=True)
    await act.session.refresh(appeal, with_for_update=True)
    check_version(appeal.revision, expected=act.expected)
    return appeal, await lock_rest(act.session, ticket)


async def _exclude(act: Act[Moment], locked: LockedTicket, *, appeal: Appeal) -> RatingExcluded:
    """The appeal was upheld: the rating leaves the rates, and is not published any more."""
    excluded = appeal.exclude(locked.rating, act.at)
    locked.ticket.exclude(act.at)
    # Without a day it is never due; what was published stays out of the list by `excluded_on`.
    await plan_publication(act.session, locked.rating, due_on=None)
    return excluded
