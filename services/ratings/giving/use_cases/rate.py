"""评价: given once about one service event, by whoever the service was for.

一事一评: the invitation's row is locked, so of any number of submissions one is stored. When the
same content comes again by the same credential, the stored rating is the answer; another content
is refused.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.giving.use_cases.suspicions import find_suspicions
from services.ratings.invitations.credentials import (
    account,
    hotline,
    link,
    printed_token,
    window_code,
)
from services.ratings.invitations.credentials.attempt import Attempt, Credential
from services.ratings.invitations.model.invitation import Invitation
from services.ratings.invitations.model.refusals import (
    AlreadyRatedError,
    StaffCannotRateError,
    TokenExpiredError,
)
from services.ratings.invitations.model.tokens import (
    BatchClaims,
    LinkClaims,
    VisitClaims,
)
from services.ratings.invitations.use_cases.keys import verify_unless_code
from services.ratings.journal import Action, Entry, Journal
from services.ratings.rating.model.channels import Pf
from services.ratings.rating.model.dictionary import CURRENT
from services.ratings.rating.model.rating import Rating
from services.ratings.rating.queries import find_rating_of
from services.ratings.rating.schemas import RatingContent
from services.ratings.statistics.model.counts import figures_of_rating
from services.ratings.tickets.use_cases.opening import follow_rating
from shared import clock
from shared.domain.masking import mask_free_text
from shared.domain.workdays import Moment
from shared.errors import FieldError, ForbiddenError, InvalidInputError
from shared.events.ratings import RatingSubmitted
from shared.ids import new_id
from shared.security.crypto import lookup_hash

TEXT_HASH_MIN = 8
"""Shorter texts are not compared: many people write them."""


async def submit_rating(attempt: Attempt) -> Rating:
    """Prove the right to rate, then store the rating and what follows from it.

    Raises what the credentials raise, `TokenExpiredError` when the time to rate is over, and
    `AlreadyRatedError` for another content than was given before.
    """
    credential = await _prove(attempt)
    command = attempt.command
    invitation = credential.invitation
    # Before the deadline is looked at: a repetition is answered also when time is over.
    if invitation.rated:
        return await _find_repeated(attempt.session, invitation, fingerprint=command.fingerprint())
    if invitation.open_until < attempt.at.today:
        raise TokenExpiredError(
            "this could be rated until {open_until}",
            open_until=invitation.open_until,
            extra={"open_until": str(invitation.open_until)},
        )
    rating = new_rating(credential, command, rated_at=attempt.at.now)
    if command.device:
        rating.device_hash = lookup_hash(command.device, purpose="device")
    rating.address_hash = lookup_hash(attempt.rater.address, purpose="address")
    # Suspicions refuse nothing: wrong ones would silence citizens.
    rating.suspicions = await find_suspicions(attempt.session, rating, invitation=invitation)
    await store_ratings(attempt.session, [GivenRating(rating, invitation)], at=attempt.at)
    return rating


async def _prove(attempt: Attempt) -> Credential:
    """Prove the right by the one credential that the sender uses."""
    command = attempt.command
    # Before the refusal of staff: an operator is staff, but writes down what a citizen says.
    if attempt.rater.is_operator and command.pf == Pf.PHONE:
        return await hotline.prove(attempt)
    # A rating that staff typed in says nothing about the service (norms §1.6).
    if attempt.rater.is_office:
        raise StaffCannotRateError(
            "a rating needs the citizen's own link, code or account; only what somebody says to"
            " 12345 is written down for her"
        )
    # The channel is a statistic: nobody else may claim to have been called.
    if command.pf == Pf.PHONE:
        raise ForbiddenError("ratings by telephone are written down by operators of 12345")
    if command.token is None:
        return await account.prove(attempt)
    token = await verify_unless_code(attempt.session, command.token)
    if token is None:
        return await window_code.prove(attempt, None)
    match token.claims:
        case VisitClaims():
            return await window_code.prove(attempt, token)
        case BatchClaims() as claims:
            return await printed_token.prove(
                attempt, token, claims=claims, token_text=command.token
            )
        case LinkClaims() as claims:
            return await link.prove(attempt, claims)


async def _find_repeated(
    session: AsyncSession, invitation: Invitation, *, fingerprint: bytes
) -> Rating:
    """The stored rating, where it was given with the same content."""
    rating = await find_rating_of(session, invitation.id)
    assert rating is not None, "an invitation is marked in the transaction of its rating"
    if rating.content_hash != fingerprint:
        details = {
            "rating_id": str(rating.id),
            "rated_at": rating.rated_at.isoformat(),
            # 一事一评: what was said stays; the one thing left is to add words.
            "allowed": ["supplement"],
        }
        raise AlreadyRatedError(
            "it was rated with another content, which stays; add words to it", extra=details
        )
    return rating


def new_rating(credential: Credential, content: RatingContent, *, rated_at: datetime) -> Rating:
    """The rating as it will be stored, its words masked for everybody but the rater.

    Raises `InvalidInputError` for a real name that nobody knows.
    """
    invitation = credential.invitation
    return Rating(
        id=new_id(),
        invitation_id=invitation.id,
        # Both are one aggregate for those who read the events: their revisions rise together.
        revision=invitation.revision + 1,
        stage=invitation.stage,
        case_id=invitation.case_id,
        case_number=invitation.case_number,
        service_number=invitation.service_number,
        area_code=invitation.area_code,
        department_code=invitation.department_code,
        matter_id=invitation.matter_id,
        matter_code=invitation.matter_code,
        matter_name=invitation.matter_name,
        hall=invitation.hall,
        window=invitation.window,
        grade=content.grade,
        tags=content.tags,
        # With its version: tags of an older dictionary keep their meaning.
        dictionary=CURRENT,
        contents=content.contents,
        text=content.text,
        masked_text=_masked_text(content, invitation),
        pf=content.pf,
        sub_channel=content.sub_channel,
        terminal=content.terminal,
        real_name=_has_real_name(credential, wanted=content.real_name),
        account_id=credential.account_id,
        suspicions=[],
        supplements=[],
        rated_at=rated_at,
        # Statistics count by the days of the city.
        rated_on=clock.local_date(rated_at),
        source=credential.source,
        operator=credential.operator,
        content_hash=content.fingerprint(),
        text_hash=_text_hash(content.text),
    )


def _masked_text(content: RatingContent, invitation: Invitation) -> str | None:
    """The words without the personal data that is known or looks like it."""
    if not content.text:
        return None
    return mask_free_text(content.text, invitation.personal_words)


def _text_hash(text: str | None) -> bytes | None:
    """Keyed hash of the letters and digits; None where there are too few to compare."""
    words = "".join(character for character in text or "" if character.isalnum())
    if len(words) < TEXT_HASH_MIN:
        return None
    # Keyed: a plain hash of a short text could be found by trying.
    return lookup_hash(words, purpose="rating.text")


def _has_real_name(credential: Credential, *, wanted: bool | None) -> bool:
    if wanted is None:
        # Ratings are real-name where a name is known, unless the rater says otherwise (norms §1.1).
        return credential.named
    if wanted and not credential.named:
        error = FieldError(
            "real_name",
            "needs_identity",
            message="sign in with your verified name to rate under it",
        )
        raise InvalidInputError("nobody knows whose name this is", [error])
    return wanted


class GivenRating(NamedTuple):
    """A rating that is to be stored, and the invitation that it was given by."""

    rating: Rating
    invitation: Invitation


async def store_ratings(session: AsyncSession, given: Sequence[GivenRating], *, at: Moment) -> None:
    """Store ratings of invitations that are locked and unrated, and what follows from each."""
    journal = Journal(session)
    for rating, invitation in given:
        session.add(rating)
        invitation.rated_at = rating.rated_at
        # What is rated needs no message that asks for it.
        invitation.sms_pending = False
        invitation.revision += 1
        detail = {
            "pf": rating.pf.value,
            "sub_channel": rating.sub_channel.value,
            "source": rating.source.value,
            "suspicions": rating.suspicions,
        }
        entry = Entry(Action.SUBMIT_RATING, rating.id, detail=detail)
        journal.append(entry, _submitted(rating, at))
        journal.count_rating(rating, before=Counter(), after=figures_of_rating(rating))
    # After all of them: a ticket's events come after the ratings of the same set.
    for rating, _ in given:
        await follow_rating(session, rating, journal=journal, at=at)
    await journal.write()


def _submitted(rating: Rating, at: Moment) -> RatingSubmitted:
    return RatingSubmitted(
        **rating.facts(),
        grade=rating.grade,
        tags=rating.tags,
        contents={content.value: grade for content, grade in rating.contents.items()},
        pf=rating.pf.value,
        sub_channel=rating.sub_channel.value,
        rated_on=rating.rated_on,
        rating_id=rating.id,
        text=rating.masked_text,
        revision=rating.revision,
        occurred_at=at.now,
    )
