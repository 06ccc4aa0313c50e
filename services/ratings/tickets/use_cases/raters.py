"""What the rater sees of the handling of a bad rating, and judges about it (再评价)."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.invitations.use_cases.batches import find_rated_invitation
from services.ratings.invitations.use_cases.keys import verify_token
from services.ratings.rating.model.rating import Rating
from services.ratings.rating.model.steps import Outcome, TicketAct
from services.ratings.rating.queries import get_rating
from services.ratings.tickets.model.ticket import Ticket
from services.ratings.tickets.queries import tickets
from services.ratings.tickets.schemas.tickets import Rerate
from services.ratings.tickets.use_cases.locking import close_ticket, lock_rest
from shared.domain.workdays import Moment
from shared.errors import ForbiddenError, NotFoundError
from shared.events.base import Event
from shared.http.etags import check_version
from shared.security.tokens import Caller


@dataclass(frozen=True, slots=True)
class PossibleRater:
    """Whoever asks for the outcome of a bad rating: an account, or the token that rated."""

    caller: Caller | None
    token: str | None


async def is_rater(session: AsyncSession, rating: Rating, *, who: PossibleRater) -> bool:
    """Whether this is who rated.

    By the account (an agent only within the matters of the mandate), or by the token.
    """
    caller = who.caller
    if caller is not None and str(rating.account_id) == caller.subject:
        return caller.covers(rating.matter_id)
    if who.token is None:
        return False
    try:
        token = await verify_token(session, who.token)
    # A wrong token and somebody else's get the same answer, as everywhere.
    except ForbiddenError:
        return False
    return await find_rated_invitation(session, token) == rating.invitation_id


async def _check_rater(session: AsyncSession, ticket: Ticket, *, who: PossibleRater) -> None:
    """Raise `NotFoundError` for all but who rated."""
    rating = await get_rating(session, ticket.rating_id)
    if not await is_rater(session, rating, who=who):
        raise NotFoundError("no such ticket of yours")


async def get_own(session: AsyncSession, ticket_id: UUID, *, who: PossibleRater) -> Ticket:
    """A ticket about one's own rating."""
    ticket = await tickets.get_ticket(session, ticket_id)
    await _check_rater(session, ticket, who=who)
    return ticket


async def rerate_ticket(
    session: AsyncSession,
    ticket_id: UUID,
    *,
    command: Rerate,
    who: PossibleRater,
    expected: int,
    at: Moment,
) -> Ticket:
    """再评价: satisfied closes; not satisfied begins a second round, once.

    `expected` is the version that the rater has read.
    """
    ticket = await tickets.get_ticket(session, ticket_id, lock=True)
    await _check_rater(session, ticket, who=who)
    check_version(ticket.revision, expected=expected)
    # Now the rating is locked as well; until here it was only read.
    locked = await lock_rest(session, ticket)
    events: list[Event] = [ticket.rerate(locked.rating, command.grade, at=at)]
    if ticket.reopens:
        events.append(ticket.open(locked.rating, days=locked.days, at=at))
    else:
        await close_ticket(session, locked, at=at)
    outcome = Outcome.SATISFIED if ticket.satisfied else Outcome.NOT_SATISFIED
    return await locked.record(TicketAct.RERATE, *events, at=at, outcome=outcome)
