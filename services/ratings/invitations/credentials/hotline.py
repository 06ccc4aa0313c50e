"""By a call to 12345: an operator writes down what the applicant says on the telephone.

The caller names the case and the last four digits of the applicant's phone. Whoever binds a printed
token to a case proves it by the same digits. Tries for one case and day are limited.
"""

from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.invitations.credentials.attempt import (
    Attempt,
    Credential,
    KnownCase,
    Rater,
)
from services.ratings.invitations.model.refusals import WrongDigitsError
from services.ratings.invitations.model.tokens import BatchClaims
from services.ratings.invitations.queries import invitations
from services.ratings.invitations.use_cases.hotline_tries import count_try
from services.ratings.invitations.use_cases.keys import verify_unless_code
from services.ratings.rating.model.channels import Pf
from services.ratings.rating.model.rating import Source
from services.ratings.rating.schemas import SubmitRating
from services.ratings.settings import Settings
from shared import clock
from shared.database.session import Database
from shared.errors import FieldError, TooManyRequestsError


async def verify_digits(
    database: Database, command: SubmitRating, *, rater: Rater, settings: Settings
) -> KnownCase:
    """The case whose number and digits the sender knows.

    Unknown where digits prove nothing, or where not both are given. Raises `WrongDigitsError` for
    wrong digits, and `TooManyRequestsError` for all once the day's tries for the case are used up.
    """
    case_number = command.case_number
    digits = command.phone_last4
    if not case_number or not digits:
        return KnownCase(missing=_missing(case_number, digits=digits))
    # Every statement commits by itself, before the request's transaction begins: no refusal undoes
    # the count, and no request waits for a second connection.
    async with database.reading() as session:
        if not await _are_asked(session, command, rater=rater):
            return KnownCase()
        # Counted before anything is looked up: so of parallel tries no more are answered.
        attempted = await count_try(session, case_number, day=clock.local_date(clock.now()))
        if attempted.failures > settings.hotline_tries:
            raise TooManyRequestsError(
                "too many wrong digits for this case today", headers={"Retry-After": "3600"}
            )
        invitation = await invitations.find_of_case(
            session, case_number, service_number=command.service_number, lock=False
        )
        # One refusal for a case that is not there and for wrong digits: nobody learns which it is.
        if invitation is None or not invitation.has_phone_ending(digits):
            raise WrongDigitsError("case number and digits do not belong together")
        await attempted.give_back(session)
        return KnownCase(invitation.id)


def _missing(case_number: str | None, *, digits: str | None) -> tuple[FieldError, ...]:
    missing: list[FieldError] = []
    if not case_number:
        missing.append(FieldError("case_number", "required", message="proves whose case it is"))
    if not digits:
        missing.append(FieldError("phone_last4", "required", message="proves whose case it is"))
    return tuple(missing)


async def _are_asked(session: AsyncSession, command: SubmitRating, *, rater: Rater) -> bool:
    """Whether digits prove anything: to an operator, or with a printed token that is ours.

    To nobody else they are compared: that would be a hint.
    """
    if rater.is_office:
        return rater.is_operator and command.pf == Pf.PHONE
    if command.pf == Pf.PHONE or command.token is None:
        return False
    token = await verify_unless_code(session, command.token)
    return token is not None and isinstance(token.claims, BatchClaims)


async def prove(attempt: Attempt) -> Credential:
    """The right of the applicant on the line; `InvalidInputError` without case and digits."""
    operator = attempt.rater.caller
    assert operator is not None, "only operators are asked"
    invitation = await attempt.known_case.lock(attempt.session)
    return Credential(
        invitation,
        Source.HOTLINE,
        named=True,
        account_id=invitation.account_id,
        operator=operator.subject,
    )
