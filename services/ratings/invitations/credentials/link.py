"""By the link of an invitation: sent by SMS, or shown as a QR code at the window."""

from services.ratings.invitations.credentials.attempt import Attempt, Credential
from services.ratings.invitations.model.refusals import TokenForeignError
from services.ratings.invitations.model.tokens import LinkClaims
from services.ratings.invitations.queries import invitations
from services.ratings.rating.model.rating import Source


async def prove(attempt: Attempt, claims: LinkClaims) -> Credential:
    """The right of whoever holds the link's token.

    Raises `TokenForeignError` where there is no such invitation, or where it is of another case
    than the one that is named.
    """
    invitation = await invitations.lock_invitation(attempt.session, claims.invitation_id)
    if invitation is None:
        raise TokenForeignError("this token belongs to no service here")
    # An app that names a case means this case: a link to another one is a mistake.
    named_case = attempt.command.case_number
    if named_case is not None and invitation.case_number != named_case:
        raise TokenForeignError("this token belongs to another service than the one named")
    source = Source.LINK
    # Visits with a link were invited by queue number; scanned ones have no link.
    if invitation.visit:
        source = Source.QUEUE
    return Credential.of_citizen(invitation, source, caller=attempt.rater.caller)
