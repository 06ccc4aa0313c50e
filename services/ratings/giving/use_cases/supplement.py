"""追加: words added to a rating later. The grade stays."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.invitations.credentials.attempt import Rater
from services.ratings.invitations.model.refusals import StaffCannotRateError, TokenExpiredError
from services.ratings.invitations.queries.invitations import get_invitation
from services.ratings.invitations.use_cases.batches import find_rated_invitation
from services.ratings.invitations.use_cases.keys import verify_token
from services.ratings.journal import Action, Entry, Journal
from services.ratings.rating.model.rating import Rating, Supplement
from services.ratings.rating.queries import get_rating
from services.ratings.rating.schemas import SupplementRating
from services.ratings.settings import Settings
from services.ratings.tickets.use_cases.opening import follow_supplement
from shared.domain.masking import mask_free_text
from shared.domain.workdays import Moment
from shared.errors import ConflictError, NotFoundError, UnauthenticatedError
from shared.events.ratings import RatingSupplemented
from shared.security.tokens import Caller

# A limit, because every supplement is stored with the rating and shown with it.
SUPPLEMENTS_MAX = 5


@dataclass(frozen=True, slots=True)
class Owner:
    """Who adds words: an account, or the invitation that a token proves, or both."""

    caller: Caller | None
    invitation_id: UUID | None

    def owns(self, rating: Rating) -> bool:
        if self.caller is not None and rating.is_of(self.caller):
            return True
        return self.invitation_id is not None and rating.invitation_id == self.invitation_id


async def supplement_rating(
    session: AsyncSession,
    rating_id: UUID,
    *,
    command: SupplementRating,
    rater: Rater,
    settings: Settings,
    at: Moment,
) -> Rating:
    """Add words, by the account or the token that rated; the same words again change nothing.

    Raises `TokenExpiredError` when the time for it is over, and `ConflictError` after
    `SUPPLEMENTS_MAX` times.
    """
    owner = await _find_owner(session, rater, token_text=command.token)
    rating = await get_rating(session, rating_id, lock=True)
    if not owner.owns(rating):
        raise NotFoundError("no such rating of yours")
    # Compared in clear: two different texts may look alike when masked.
    for known in rating.supplements:
        if known.as_written() == command.text:
            return rating
    _check_addable(rating, settings, at=at)
    invitation = await get_invitation(session, rating.invitation_id)
    masked = mask_free_text(command.text, invitation.personal_words)
    supplement = Supplement.seal(command.text, masked=masked, at=at.now)
    supplemented = _add(rating, supplement, at=at)
    await follow_supplement(session, rating, at=at)
    await _write_history(session, rating, event=supplemented)
    return rating


async def _write_history(
    session: AsyncSession, rating: Rating, *, event: RatingSupplemented
) -> None:
    journal = Journal(session)
    detail = {"number": len(rating.supplements)}
    journal.append(Entry(Action.SUPPLEMENT_RATING, rating.id, detail=detail), event)
    await journal.write()


def _check_addable(rating: Rating, settings: Settings, *, at: Moment) -> None:
    if at.now > rating.rated_at + timedelta(days=settings.supplement_days):
        raise TokenExpiredError(
            "words could be added for {days} days", days=settings.supplement_days
        )
    if len(rating.supplements) >= SUPPLEMENTS_MAX:
        raise ConflictError("words were added {times} times already", times=SUPPLEMENTS_MAX)


def _add(rating: Rating, supplement: Supplement, *, at: Moment) -> RatingSupplemented:
    # A new list: changes inside the old one are not noticed by the session.
    rating.supplements = [*rating.supplements, supplement]
    rating.revision += 1
    return RatingSupplemented(
        **rating.facts(),
        rating_id=rating.id,
        text=supplement.text,
        revision=rating.revision,
        occurred_at=at.now,
    )


async def _find_owner(session: AsyncSession, rater: Rater, *, token_text: str | None) -> Owner:
    if rater.is_office:
        raise StaffCannotRateError("words are added by whoever rated")
    if token_text is None and rater.caller is None:
        raise UnauthenticatedError("add words by the link you rated with, or sign in")
    if token_text is None:
        return Owner(rater.caller, None)
    token = await verify_token(session, token_text)
    return Owner(rater.caller, await find_rated_invitation(session, token))
