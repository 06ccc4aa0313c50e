"""How tickets and appeals are shown."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.invitations.model.invitation import Invitation
from services.ratings.invitations.queries.invitations import find_invitation
from services.ratings.rating.model.steps import TicketStep
from services.ratings.rating.queries import get_rating
from services.ratings.tickets.model.appeal import Appeal
from services.ratings.tickets.model.states import NextAct
from services.ratings.tickets.model.ticket import Ticket
from services.ratings.tickets.queries import appeals, tickets
from services.ratings.tickets.schemas.appeals import AppealRead
from services.ratings.tickets.schemas.tickets import OutcomeRead, TicketRead, TicketStepRead
from shared.domain import masking


def _read_steps(steps: Sequence[TicketStep]) -> list[TicketStepRead]:
    return [TicketStepRead.model_validate(step) for step in steps]


async def read_ticket(session: AsyncSession, ticket: Ticket) -> TicketRead:
    """A ticket with its steps, the rater masked; nothing about an anonymous rater."""
    rating = await get_rating(session, ticket.rating_id)
    invitation = None
    if rating.real_name:
        invitation = await find_invitation(session, rating.invitation_id)
    appeal = await appeals.find_appeal(session, ticket.id)
    read = TicketRead(
        id=ticket.id,
        rating_id=ticket.rating_id,
        revision=ticket.revision,
        state=ticket.state,
        round=ticket.round,
        area_code=ticket.area_code,
        department_code=ticket.department_code,
        grade=ticket.grade,
        opened_on=ticket.opened_on,
        next_due_on=ticket.next_due_on,
        level=ticket.level,
        matter_name=rating.matter_name,
        hall=rating.hall,
        window=rating.window,
        applicant=None,
        phone=None,
        tags=rating.tags,
        text=rating.masked_text,
        real_name=ticket.real_name,
        callback_due_on=ticket.callback_due_on,
        verify_due_on=ticket.verify_due_on,
        rectify_due_on=ticket.rectify_due_on,
        attempts=ticket.attempts,
        called_back_on=ticket.called_back_on,
        verified_on=ticket.verified_on,
        confirmed=ticket.confirmed,
        plan_class=ticket.plan_class,
        plan_reason=ticket.plan_reason,
        ledger=ticket.ledger,
        approved=ticket.approved_by is not None,
        root_cause=ticket.root_cause,
        root_words=ticket.root_words,
        action=ticket.action,
        explained=ticket.explained,
        rectified_on=ticket.rectified_on,
        feedback_on=ticket.feedback_on,
        satisfied=ticket.satisfied,
        regrade=ticket.regrade,
        closed_on=ticket.closed_on,
        allowed=ticket.allowed(),
        appeal_id=None,
        steps=_read_steps(await tickets.list_steps(session, ticket.id)),
    )
    if invitation is not None:
        _show_rater(read, invitation)
    if appeal is not None:
        read.appeal_id = appeal.id
    return read


def _show_rater(read: TicketRead, invitation: Invitation) -> None:
    # In clear they are told only by a reveal, which is recorded with its reason.
    if invitation.contact_name:
        read.applicant = masking.mask_name(invitation.contact_name)
    if invitation.phone:
        read.phone = masking.mask_phone(invitation.phone)


def read_outcome(ticket: Ticket) -> OutcomeRead:
    return OutcomeRead(
        id=ticket.id,
        rating_id=ticket.rating_id,
        revision=ticket.revision,
        state=ticket.state,
        grade=ticket.grade,
        root_cause=ticket.root_cause,
        action=ticket.action,
        explained=ticket.explained,
        rectified_on=ticket.rectified_on,
        satisfied=ticket.satisfied,
        regrade=ticket.regrade,
        closed_on=ticket.closed_on,
        can_rerate=NextAct.RE_RATE in ticket.allowed(),
    )


def read_appeal(appeal: Appeal) -> AppealRead:
    return AppealRead(
        id=appeal.id,
        ticket_id=appeal.ticket_id,
        rating_id=appeal.rating_id,
        revision=appeal.revision,
        state=appeal.state,
        area_code=appeal.area_code,
        department_code=appeal.department_code,
        ground=appeal.ground,
        reasons=appeal.reasons,
        made_at=appeal.made_at,
        review_due_on=appeal.review_due_on,
        agreements=len(appeal.agreed),
        opinions=appeal.opinions,
        decided_on=appeal.decided_on,
    )
