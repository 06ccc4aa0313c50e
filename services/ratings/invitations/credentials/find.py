"""By what right somebody rates: a token, the account of the applicant, or a call to 12345. Nothing else is one."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.invitations.credentials import printed_token, window_code
from services.ratings.invitations.model.invitation import Invitation
from services.ratings.invitations.model.refusals import StaffCannotRateError, TokenForeignError
from services.ratings.invitations.model.tokens import Token, batch_subject, read, read_id
from services.ratings.invitations.queries import invitations, tokens
from services.ratings.invitations.use_cases.keys import public_key
from services.ratings.rating.model.channels import HOTLINE
from services.ratings.rating.schemas import SubmitRating
from services.ratings.settings import Settings
from shared.database.session import Database
from shared.domain.workdays import Moment
from shared.errors import (
    FieldError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    TooManyRequestsError,
    UnauthenticatedError,
)
from shared.security.tokens import Caller

VERIFIED = 2
OPERATOR = "hotline_operator"
OFFICES = frozenset({"staff", "system"})
TRIED = text(
    "INSERT INTO hotline_try (case_number, day, failures) VALUES (:case, :day, 1)"
    " ON CONFLICT (case_number, day) DO UPDATE SET failures = hotline_try.failures + 1"
    " RETURNING failures"
)
RIGHT = text(
    "UPDATE hotline_try SET failures = failures - 1 WHERE case_number = :case AND day = :day"
)
FORGET = text("DELETE FROM hotline_try WHERE day < :day")


class WrongDigitsError(ForbiddenError):
    """The caller could not say the last digits of the applicant's phone."""

    code = "wrong_digits"


@dataclass(frozen=True, slots=True)
class Rater:
    """Who sends a rating, and from which address."""

    caller: Caller | None
    address: str


@dataclass(frozen=True, slots=True)
class Credential:
    """What may be rated (its row is locked), how that was proved, and whether it tells whose service it was."""

    invitation: Invitation
    source: str
    named: bool
    account_id: UUID | None
    operator: str | None = None


async def find_credential(
    session: AsyncSession, command: SubmitRating, rater: Rater, settings: Settings, at: Moment
) -> Credential:
    caller = rater.caller
    if caller is not None and caller.kind in OFFICES:
        if _is_call(command, caller):
            return await _by_call(session, command, caller)
        raise StaffCannotRateError(
            "a rating needs the citizen's own link, code or account; only what somebody says to 12345 is written down for her"
        )
    if command.pf == HOTLINE:
        raise ForbiddenError("ratings by telephone are written down by operators of 12345")
    if command.token is not None:
        invitation, source = await _by_token(session, command, command.token, rater, settings, at)
    elif caller is not None:
        invitation, source = await _by_account(session, command, caller), "account"
    else:
        raise UnauthenticatedError(
            "rate by the link or code you were given, or sign in as the applicant"
        )
    named = invitation.case_number is not None or (caller is not None and caller.acr >= VERIFIED)
    own = UUID(caller.subject) if caller is not None else None
    return Credential(invitation, source, named, invitation.account_id or own)


async def _by_account(session: AsyncSession, command: SubmitRating, caller: Caller) -> Invitation:
    if command.case_number is None:
        fault = FieldError(
            "case_number", "required", "name the case, or send the token of its link"
        )
        raise InvalidInputError("what is rated?", [fault])
    invitation = await invitations.find_of_account(
        session, UUID(caller.subject), command.case_number, command.service_number
    )
    if invitation is None or not caller.covers(invitation.matter_id):
        raise NotFoundError("no such invitation of yours")
    return invitation


async def believe(session: AsyncSession, text: str) -> Token:
    """A token that one of our keys signed."""
    token = read(text)
    token.check(await public_key(session, token.kid))
    return token


async def invitation_of(session: AsyncSession, token: Token) -> Invitation:
    """What the token of a link stands for, locked."""
    invitation = await invitations.lock_invitation(session, read_id(token.claims.get("jti")))
    if invitation is None:
        raise TokenForeignError("this token belongs to no service here")
    return invitation


async def rated_by(session: AsyncSession, token: Token) -> UUID | None:
    """The invitation that a link's token stands for, or that a pre-issued one was used for."""
    if "bat" not in token.claims:
        return read_id(token.claims.get("jti"))
    number = token.claims.get("n")
    if not isinstance(number, int):
        return None
    used = await tokens.find_redemption(
        session, batch_subject(printed_token.batch_of(token), number)
    )
    return used.invitation_id if used is not None else None


async def _by_token(
    session: AsyncSession,
    command: SubmitRating,
    credential: str,
    rater: Rater,
    settings: Settings,
    at: Moment,
) -> tuple[Invitation, str]:
    token = None if window_code.is_code(credential) else await believe(session, credential)
    if token is None or "vis" in token.claims:
        phone = _phone(command, rater)
        return await window_code.visit_of(
            session, credential, token, phone, settings, at
        ), "window_code"
    if "bat" in token.claims:
        bound = None
        if command.case_number is not None:
            bound = await _known_case(session, command)
        return await printed_token.redeem(session, token, credential, bound, at), "batch"
    invitation = await invitation_of(session, token)
    window_code.other_case(invitation, command.case_number)
    return invitation, "queue" if invitation.visit else "link"


def _phone(command: SubmitRating, rater: Rater) -> window_code.Phone:
    device = rater.caller.subject if rater.caller is not None else command.device
    if device is None:
        fault = FieldError(
            "device", "required", "a window's code is used by one phone: name it, or sign in"
        )
        raise InvalidInputError("which phone is this?", [fault])
    return window_code.Phone(device, rater.address)


def _is_call(command: SubmitRating, caller: Caller) -> bool:
    return caller.kind == "staff" and OPERATOR in caller.roles and command.pf == HOTLINE


async def _by_call(session: AsyncSession, command: SubmitRating, operator: Caller) -> Credential:
    invitation = await _known_case(session, command)
    return Credential(invitation, "hotline", True, invitation.account_id, operator.subject)


async def _known_case(
    session: AsyncSession, command: SubmitRating, *, lock: bool = True
) -> Invitation:
    """The case whose number and last four digits of the callback phone somebody knows (`prove_case` counted the try)."""
    names = ("case_number", "phone_last4")
    faults = [
        FieldError(name, "required", "proves whose case it is")
        for name in names
        if not getattr(command, name)
    ]
    if faults:
        raise InvalidInputError("whose case is it?", faults)
    assert command.case_number is not None
    invitation = await invitations.find_of_case(
        session, command.case_number, command.service_number, lock=lock
    )
    if (
        invitation is None
        or invitation.phone is None
        or invitation.phone[-4:] != command.phone_last4
    ):
        raise WrongDigitsError("case number and digits do not belong together")
    return invitation


async def prove_case(
    database: Database, command: SubmitRating, rater: Rater, settings: Settings, today: date
) -> None:
    """Refuse wrong digits of a phone, and all of them once a day's tries for the case are used up.

    The try is counted before anything is looked up, so that of parallel ones no more are answered; right digits give it
    back. Every statement commits by itself and before the request's transaction begins: no refusal undoes the count, and
    no request waits for a second connection.
    """
    if command.case_number is None or command.phone_last4 is None:
        return
    async with database.reading() as session:
        if not await _says_digits(session, command, rater.caller):
            return
        key = {"case": command.case_number, "day": today}
        if (await session.scalars(TRIED, key)).one() > settings.hotline_tries:
            raise TooManyRequestsError(
                "too many wrong digits for this case today", headers={"Retry-After": "3600"}
            )
        _ = await _known_case(session, command, lock=False)
        _ = await session.execute(RIGHT, key)


async def _says_digits(session: AsyncSession, command: SubmitRating, caller: Caller | None) -> bool:
    """Whether digits will prove the case: to an operator, or with a pre-issued token that is ours."""
    if caller is not None and caller.kind in OFFICES:
        return _is_call(command, caller)
    if command.token is None or command.pf == HOTLINE or window_code.is_code(command.token):
        return False
    return "bat" in (await believe(session, command.token)).claims


async def forget_tries(session: AsyncSession, at: Moment) -> None:
    _ = await session.execute(FORGET, {"day": at.today})
