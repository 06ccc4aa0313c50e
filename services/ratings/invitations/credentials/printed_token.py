"""By a pre-issued token (预制码) of a window in a private network, printed ahead."""

from services.ratings.invitations.credentials.attempt import Attempt, Credential
from services.ratings.invitations.model.invitation import Invitation, NewInvitation
from services.ratings.invitations.model.keys import Redemption, TokenBatch
from services.ratings.invitations.model.refusals import TokenExpiredError, TokenForeignError
from services.ratings.invitations.model.tokens import BatchClaims, Token, batch_subject
from services.ratings.invitations.queries import invitations, tokens
from services.ratings.invitations.use_cases.batches import (
    NewRedemption,
    batch_of,
    batch_visit,
    redeem,
)
from services.ratings.invitations.use_cases.invite import store_invitations
from services.ratings.rating.model.rating import Source


async def prove(
    attempt: Attempt, token: Token, *, claims: BatchClaims, token_text: str
) -> Credential:
    """The right of whoever holds the token: to rate its own visit, or the case it is bound to.

    Sent again, the token stands for what it rated the first time. Raises `TokenForeignError` for a
    token of no batch, or of another department than the case, and `TokenExpiredError`.
    """
    session = attempt.session
    case = None
    if attempt.command.case_number is not None:
        case = await attempt.known_case.lock(session)
    batch = batch_of(token, claims, batches=await tokens.find_batches(session, [claims.batch_id]))
    # A department cannot hand out tokens for another department's cases.
    if case is not None and case.office != batch.office:
        raise TokenForeignError("this token belongs to another department than the case")
    redemption = await tokens.find_redemption(session, batch_subject(batch.id, claims.number))
    if redemption is None:
        visit = batch_visit(batch, claims.number, token=token_text, now=attempt.at.now)
        redemption = await _redeem(attempt, batch, visit=visit, number=claims.number, case=case)
    invitation = await invitations.lock_invitation(session, redemption.invitation_id)
    assert invitation is not None, "it was made when the token was redeemed"
    return Credential.of_citizen(invitation, Source.BATCH, caller=attempt.rater.caller)


async def _redeem(
    attempt: Attempt,
    batch: TokenBatch,
    *,
    visit: NewInvitation,
    number: int,
    case: Invitation | None,
) -> Redemption:
    """Use a token up to rate the case, or the visit that the token stands for."""
    if attempt.at.today > batch.expires_on:
        raise TokenExpiredError("this token has expired")
    # What is rated is fixed at the first use; a repetition cannot choose another case.
    target = case.id if case is not None else visit.id
    used = NewRedemption(visit.id, batch.id, number, invitation_id=target)
    _ = await redeem(attempt.session, [used], now=attempt.at.now)
    # Of parallel requests the first has redeemed it: the others find what that one rated.
    redemption = await tokens.find_redemption(attempt.session, visit.id)
    assert redemption is not None
    if redemption.invitation_id == visit.id:
        _ = await store_invitations(attempt.session, [visit])
    return redemption
