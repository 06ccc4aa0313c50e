"""追加: words added to a rating later. The grade stays."""

import base64
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.giving.use_cases.rate import Owner
from services.ratings.invitations.credentials.find import Rater, believe
from services.ratings.invitations.model.refusals import StaffCannotRateError, TokenExpiredError
from services.ratings.invitations.model.tokens import batch_subject, read_id
from services.ratings.invitations.queries import invitations, tokens
from services.ratings.rating import queries as rating_queries
from services.ratings.rating.model.rating import Rating
from services.ratings.rating.schemas import SupplementRating
from services.ratings.settings import Settings
from services.ratings.tickets.use_cases.tickets import follow_supplement
from shared.database import audit
from shared.domain.masking import mask_free_text
from shared.domain.workdays import Moment
from shared.errors import ConflictError, NotFoundError, UnauthenticatedError
from shared.events.ratings import RatingSupplemented
from shared.messaging import outbox
from shared.security.crypto import decrypt, encrypt

MOST = 5
PURPOSE = "rating.supplements"


async def supplement_rating(
    session: AsyncSession,
    rating_id: UUID,
    command: SupplementRating,
    rater: Rater,
    settings: Settings,
    at: Moment,
) -> Rating:
    """Add words, by the account or the token that rated; the same words again change nothing."""
    owner = await _owner(session, command.token, rater)
    rating = await rating_queries.get_rating(session, rating_id, lock=True)
    if not owner.owns(rating):
        raise NotFoundError("no such rating of yours")
    if any(own_words(entry) == command.text for entry in rating.supplements):
        return rating
    if at.now > rating.rated_at + timedelta(days=settings.supplement_days):
        raise TokenExpiredError(f"words could be added for {settings.supplement_days} days")
    if len(rating.supplements) >= MOST:
        raise ConflictError(f"words were added {MOST} times already")
    invitation = await invitations.get_invitation(session, rating.invitation_id)
    known = [name for name in (invitation.contact_name, invitation.phone) if name]
    masked = mask_free_text(command.text, known)
    entry = {"at": at.now.isoformat(), "text": masked, "sealed": _seal(command.text)}
    rating.supplements = [*rating.supplements, entry]
    rating.revision += 1
    fact = RatingSupplemented(
        **rating.facts(),
        rating_id=rating.id,
        text=masked,
        revision=rating.revision,
        occurred_at=at.now,
    )
    outbox.add(session, fact)
    await follow_supplement(session, rating, at)
    audit.record(session, "rating.supplement", "rating", rating.id, number=len(rating.supplements))
    return rating


async def _owner(session: AsyncSession, text: str | None, rater: Rater) -> Owner:
    caller = rater.caller
    if caller is not None and caller.kind not in {"person", "organisation"}:
        raise StaffCannotRateError("words are added by whoever rated")
    if text is None and caller is None:
        raise UnauthenticatedError("add words by the link you rated with, or sign in")
    invitation = None
    if text is not None:
        token = await believe(session, text)
        if "bat" in token.claims:
            used = await tokens.find_redemption(
                session, batch_subject(read_id(token.claims["bat"]), int(token.claims.get("n", 0)))
            )
            invitation = used.invitation_id if used is not None else None
        elif "jti" in token.claims:
            invitation = read_id(token.claims["jti"])
    return Owner(caller, invitation)


def _seal(words: str) -> str:
    return base64.b64encode(encrypt(words, PURPOSE)).decode()


def own_words(entry: dict[str, Any]) -> str:
    """The words of a supplement as they were written."""
    return decrypt(base64.b64decode(entry["sealed"]), PURPOSE)
