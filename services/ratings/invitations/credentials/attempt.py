"""What somebody sends in order to rate, and what comes of it when the right to do so is proved."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.invitations.model.invitation import Invitation
from services.ratings.invitations.queries import invitations
from services.ratings.model_base import Role
from services.ratings.rating.model.rating import Source
from services.ratings.rating.schemas import SubmitRating
from services.ratings.settings import Settings
from shared.domain.workdays import Moment
from shared.errors import FieldError, InvalidInputError
from shared.security.tokens import Caller, CallerKind

VERIFIED = 2
"""Assurance level from which the real name of an account is verified."""


@dataclass(frozen=True, slots=True)
class Rater:
    """Who sends a rating (None without an account), and from which network address."""

    caller: Caller | None
    address: str

    @property
    def is_office(self) -> bool:
        """Works for the platform or a bureau, or is a system of theirs."""
        kinds = {CallerKind.STAFF, CallerKind.SYSTEM}
        return self.caller is not None and self.caller.kind in kinds

    @property
    def is_operator(self) -> bool:
        """A 12345 operator, who writes down what somebody says on the telephone."""
        if self.caller is None or self.caller.kind is not CallerKind.STAFF:
            return False
        return Role.HOTLINE_OPERATOR in self.caller.roles


@dataclass(frozen=True, slots=True)
class KnownCase:
    """The case whose number and last four digits of the phone the sender knows.

    Made by `hotline.verify_digits`, the only place that compares digits. `invitation_id` is None
    where they were not compared; `missing` says what the sender did not give.
    """

    invitation_id: UUID | None = None
    missing: tuple[FieldError, ...] = ()

    async def lock(self, session: AsyncSession) -> Invitation:
        """The invitation, locked; raises `InvalidInputError` where something was missing."""
        if self.invitation_id is None:
            raise InvalidInputError("whose case is it?", self.missing)
        invitation = await invitations.lock_invitation(session, self.invitation_id)
        assert invitation is not None, "invitations are never deleted"
        return invitation


@dataclass(frozen=True, slots=True)
class Attempt:
    """A rating that is to be stored if its sender proves the right to give it."""

    session: AsyncSession
    command: SubmitRating
    rater: Rater
    known_case: KnownCase
    settings: Settings
    at: Moment


@dataclass(frozen=True, slots=True)
class Credential:
    """A proved right to rate: the invitation (its row is locked), and how it was proved.

    `named`: it is known whose service it was. `operator` wrote down what was said to 12345.
    """

    invitation: Invitation
    source: Source
    named: bool
    account_id: UUID | None
    operator: str | None = None

    @classmethod
    def of_citizen(
        cls, invitation: Invitation, source: Source, *, caller: Caller | None
    ) -> "Credential":
        """The right of a person or organisation, with or without an account."""
        named = invitation.case_number is not None
        account_id = invitation.account_id
        if caller is not None:
            named = named or caller.acr >= VERIFIED
            # The account of the case comes first; the sender's counts where there is none.
            account_id = account_id or UUID(caller.subject)
        return cls(invitation, source, named, account_id)
