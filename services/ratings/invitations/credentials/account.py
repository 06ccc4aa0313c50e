"""By the account of the applicant, who names the case."""

from uuid import UUID

from services.ratings.invitations.credentials.attempt import Attempt, Credential
from services.ratings.invitations.queries import invitations
from services.ratings.rating.model.rating import Source
from shared.errors import FieldError, InvalidInputError, NotFoundError, UnauthenticatedError


async def prove(attempt: Attempt) -> Credential:
    """The right of the signed-in applicant, or of an agent within the matters of the mandate.

    Raises `UnauthenticatedError` without an account, `InvalidInputError` without a case, and
    `NotFoundError` where the case is somebody else's.
    """
    command = attempt.command
    caller = attempt.rater.caller
    if caller is None:
        raise UnauthenticatedError(
            "rate by the link or code you were given, or sign in as the applicant"
        )
    if command.case_number is None:
        error = FieldError(
            "case_number", "required", message="name the case, or send the token of its link"
        )
        raise InvalidInputError("what is rated?", [error])
    invitation = await invitations.find_of_case(
        attempt.session, command.case_number, service_number=command.service_number
    )
    # The same answer for a case that is not there and for somebody else's.
    is_own = invitation is not None and invitation.account_id == UUID(caller.subject)
    if invitation is None or not is_own or not caller.covers(invitation.matter_id):
        raise NotFoundError("no such invitation of yours")
    return Credential.of_citizen(invitation, Source.ACCOUNT, caller=caller)
