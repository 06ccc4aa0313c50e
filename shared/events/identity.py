"""Facts of the identity service."""

from datetime import date
from typing import Literal
from uuid import UUID

from shared.events.base import Event


class AccountEvent(Event, service="identity"):
    """About one account, without a name, number or phone in clear text."""

    account_id: UUID

    @property
    def key(self) -> str:
        return str(self.account_id)


class AccountRegistered(AccountEvent, fact="account-registered"):
    """A new account of a person, organisation, staff member or system."""

    kind: Literal["person", "organisation", "staff", "system"]


class IdentityVerified(AccountEvent, fact="identity-verified"):
    """The account reached an assurance level (1 phone, 2 real name, 3 counter or face).

    `holder` is sealed (`identity.person`: name, id_number) for licenses, which shows her the
    licenses of her number.
    """

    level: int
    method: str
    holder: str | None = None


class OrganisationLinked(AccountEvent, fact="organisation-linked"):
    """A person may act for an organisation (USCC is public by law)."""

    organisation_id: UUID
    uscc: str


class OrganisationUnlinked(AccountEvent, fact="organisation-unlinked"):
    """A person may no longer act for an organisation."""

    organisation_id: UUID


class MandateEvent(Event, service="identity"):
    """About one mandate (授权代办)."""

    mandate_id: UUID
    principal_id: UUID
    agent_id: UUID

    @property
    def key(self) -> str:
        return str(self.mandate_id)


class MandateGranted(MandateEvent, fact="mandate-granted"):
    """Accepted: the agent may act for the principal until the end of `valid_until`.

    `matters` None means in all matters.
    """

    matters: list[UUID] | None
    valid_until: date


class MandateRevoked(MandateEvent, fact="mandate-revoked"):
    """The agent may no longer act; tokens issued under the mandate are refused within seconds."""


class StaffChanged(AccountEvent, fact="staff-changed"):
    """A staff member's post: area, department, roles.

    `active` is False from the moment of leaving.
    """

    area_code: str
    department_code: str
    roles: list[str]
    active: bool


class SessionsRevoked(AccountEvent, fact="sessions-revoked"):
    """Sessions were ended early; an empty `session_ids` means all of the account."""

    session_ids: list[UUID]
    reason: str
