"""评价: said once about one service event, by whoever it was done for.

一事一评: the invitation's row is locked, so of any number of submissions one is stored. A repetition of the same content by the
same credential gets the stored rating as its answer; another content is refused and told when the first was given.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.giving.use_cases.detect import find_suspicions
from services.ratings.invitations.credentials.find import Credential, Rater, find_credential
from services.ratings.invitations.model.invitation import Invitation
from services.ratings.invitations.model.refusals import AlreadyRatedError, TokenExpiredError
from services.ratings.rating import queries as rating_queries
from services.ratings.rating.model.dictionary import CURRENT
from services.ratings.rating.model.rating import Rating
from services.ratings.rating.schemas import Said, SubmitRating
from services.ratings.settings import Settings
from services.ratings.statistics.use_cases import count_rating
from services.ratings.tickets.use_cases.tickets import follow_rating
from shared import clock
from shared.database import audit
from shared.domain.masking import mask_free_text
from shared.domain.workdays import Moment
from shared.errors import FieldError, InvalidInputError
from shared.events.ratings import RatingSubmitted
from shared.ids import new_id
from shared.messaging import outbox
from shared.security.crypto import lookup_hash
from shared.security.tokens import Caller


async def submit_rating(
    session: AsyncSession, command: SubmitRating, rater: Rater, settings: Settings, at: Moment
) -> Rating:
    credential = await find_credential(session, command, rater, settings, at)
    invitation = credential.invitation
    if invitation.rated_at is not None:
        return await _repeated(session, invitation, command)
    if invitation.open_until < at.today:
        words = f"this could be rated until {invitation.open_until}"
        raise TokenExpiredError(words, extra={"open_until": str(invitation.open_until)})
    rating = new_rating(invitation, command, credential, at.now)
    if command.device:
        rating.device_hash = lookup_hash(command.device, "device")
    rating.address_hash = lookup_hash(rater.address, "address")
    rating.suspicions = await find_suspicions(session, rating, invitation)
    await store_ratings(session, [(rating, invitation)], at)
    return rating


async def _repeated(session: AsyncSession, invitation: Invitation, command: Said) -> Rating:
    rating = await rating_queries.find_rating_of(session, invitation.id)
    assert rating is not None, "an invitation is marked in the transaction of its rating"
    if rating.content_hash != content_hash(command):
        told = {
            "rating_id": str(rating.id),
            "rated_at": rating.rated_at.isoformat(),
            "allowed": ["supplement"],
        }
        raise AlreadyRatedError(
            "it was rated with another content, which stays; add words to it", extra=told
        )
    return rating


def content_hash(said: Said) -> bytes:
    """Of all that was said, whatever the order of tags."""
    content = [said.grade, sorted(said.tags), said.contents, said.text, said.real_name]
    return lookup_hash(orjson.dumps(content, option=orjson.OPT_SORT_KEYS).hex(), "rating.content")


def new_rating(
    invitation: Invitation, said: Said, credential: Credential, rated_at: datetime
) -> Rating:
    """The rating as it will be stored, with its words masked for everybody but the rater."""
    known = [name for name in (invitation.contact_name, invitation.phone) if name]
    return Rating(
        id=new_id(),
        invitation_id=invitation.id,
        # Both are one aggregate to whoever listens: its facts rise from the invitation's on.
        revision=invitation.revision + 1,
        **invitation.service(),
        grade=said.grade,
        tags=said.tags,
        dictionary=CURRENT,
        contents=dict(said.contents),
        text=said.text,
        masked_text=mask_free_text(said.text, known) if said.text else None,
        pf=said.pf,
        sub_channel=said.sub_channel,
        terminal=said.terminal,
        real_name=_real_name(said, credential),
        account_id=credential.account_id,
        suspicions=[],
        supplements=[],
        rated_at=rated_at,
        rated_on=clock.local_date(rated_at),
        source=credential.source,
        operator=credential.operator,
        content_hash=content_hash(said),
        text_hash=_text_hash(said.text),
    )


def _text_hash(text: str | None) -> bytes | None:
    """Of words long enough to be told apart from what everybody writes."""
    words = "".join(character for character in text or "" if character.isalnum())
    return lookup_hash(words, "rating.text") if len(words) >= 8 else None


def _real_name(said: Said, credential: Credential) -> bool:
    if said.real_name and not credential.named:
        fault = FieldError(
            "real_name", "needs_identity", "sign in with your verified name to rate under it"
        )
        raise InvalidInputError("nobody knows whose name this is", [fault])
    return credential.named if said.real_name is None else said.real_name


async def store_ratings(
    session: AsyncSession, given: Sequence[tuple[Rating, Invitation]], at: Moment
) -> None:
    """Store ratings of invitations that are locked and unrated, and what follows from each."""
    for rating, invitation in given:
        session.add(rating)
        invitation.rated_at = rating.rated_at
        invitation.sms_pending = False
        invitation.revision += 1
    await session.flush()
    await outbox.add_many(session, [submitted(rating, at.now) for rating, _ in given])
    for rating, _ in given:
        about = {"pf": rating.pf, "sub_channel": rating.sub_channel, "source": rating.source}
        audit.record(
            session, "rating.submit", "rating", rating.id, **about, suspicions=rating.suspicions
        )
        await follow_rating(session, rating, at)
        await count_rating(session, rating, 1)


def submitted(rating: Rating, now: datetime) -> RatingSubmitted:
    names = ["grade", "tags", "contents", "pf", "sub_channel", "rated_on"]
    return RatingSubmitted(
        **rating.facts(),
        **{name: getattr(rating, name) for name in names},
        rating_id=rating.id,
        text=rating.masked_text,
        revision=rating.revision,
        occurred_at=now,
    )


@dataclass(frozen=True, slots=True)
class Owner:
    """Who asks to read or add to a rating: who is signed in, or the invitation that a token proves."""

    caller: Caller | None
    invitation_id: UUID | None

    def owns(self, rating: Rating) -> bool:
        """An agent's only in the matters of the mandate."""
        by_account = (
            self.caller is not None
            and rating.account_id is not None
            and str(rating.account_id) == self.caller.subject
            and self.caller.covers(rating.matter_id)
        )
        return by_account or (
            self.invitation_id is not None and rating.invitation_id == self.invitation_id
        )
