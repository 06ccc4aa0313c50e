"""Tables of identity and their rules."""

from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared import clock
from shared.database.session import new_metadata
from shared.errors import ConflictError, FieldError, InvalidInputError
from shared.events.identity import (
    AccountRegistered,
    IdentityVerified,
    MandateGranted,
    MandateRevoked,
    OrganisationLinked,
    OrganisationUnlinked,
    SessionsRevoked,
    StaffChanged,
)
from shared.ids import new_id
from shared.security.crypto import Encrypted, seal_for
from shared.security.key_ring import KeyRow

EXCLUDING = (
    ({"window_clerk"}, {"approver", "leader"}),
    ({"window_clerk"}, {"delivery"}),
    ({"approver", "leader"}, {"delivery"}),
    ({"auditor"}, {"administrator"}),
)
"""Duties that one person must not hold together (intake, approval and delivery apart; who audits does not administer)."""


REAL_NAME_LEVEL = 2
"""Name and ID number belong together, says the police (实名核验)."""
COUNTER_LEVEL = 3
"""A clerk saw the person and the card (窗口核验)."""


class BindingRequiredError(ConflictError):
    """The mini-program's user belongs to no account yet: prove a phone with the `binding_token` given here."""

    code, title = "binding_required", "Bind a phone first"


class Base(DeclarativeBase):
    metadata = new_metadata()


class Account(Base):
    """A natural person, an organisation, a staff member or a system. Personal data is encrypted, found by keyed hash."""

    __tablename__ = "account"
    __table_args__ = (Index("ix_account_staff", "id", postgresql_where=text("kind = 'staff'")),)

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    revision: Mapped[int] = mapped_column(Integer)
    level: Mapped[int] = mapped_column(SmallInteger)
    active: Mapped[bool] = mapped_column(Boolean)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    phone: Mapped[str | None] = mapped_column(Encrypted("account.phone"))
    phone_hash: Mapped[bytes | None] = mapped_column(LargeBinary, unique=True)
    name: Mapped[str | None] = mapped_column(Encrypted("account.name"))
    id_number: Mapped[str | None] = mapped_column(Encrypted("account.id_number"))
    id_number_hash: Mapped[bytes | None] = mapped_column(LargeBinary, unique=True)
    uscc: Mapped[str | None] = mapped_column(Text, unique=True)
    username: Mapped[str | None] = mapped_column(Text, unique=True)
    password_hash: Mapped[str | None] = mapped_column(Text)
    totp_secret: Mapped[str | None] = mapped_column(Encrypted("account.totp_secret"))
    totp_last_step: Mapped[int] = mapped_column(BigInteger)
    area_code: Mapped[str | None] = mapped_column(Text)
    department_code: Mapped[str | None] = mapped_column(Text)
    roles: Mapped[list[str]] = mapped_column(ARRAY(Text))
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    public_key: Mapped[dict[str, Any] | None] = mapped_column(JSONB)

    @classmethod
    def new(cls, kind: str, now: datetime, **values: Any) -> "tuple[Account, AccountRegistered]":
        base = {"level": 1, "active": True, "roles": [], "scopes": [], "totp_last_step": 0}
        account = cls(id=new_id(), kind=kind, revision=1, created_at=now, **{**base, **values})
        fact = AccountRegistered(account_id=account.id, kind=kind, revision=1, occurred_at=now)  # pyright: ignore[reportArgumentType]
        return account, fact

    def verify(
        self,
        name: str,
        id_number: str,
        id_number_hash: bytes,
        level: int,
        method: str,
        now: datetime,
    ) -> IdentityVerified:
        """Who this is, is known: level 2 by real name, level 3 at a counter."""
        self.name, self.id_number, self.id_number_hash, self.level = (
            name,
            id_number,
            id_number_hash,
            level,
        )
        self.revision += 1
        return IdentityVerified(
            account_id=self.id,
            level=level,
            method=method,
            holder=seal_for({"name": name, "id_number": id_number}, "identity.person"),
            revision=self.revision,
            occurred_at=now,
        )

    def amr(self, signed_in: list[str]) -> list[str]:
        """How one signed in, and that the card was seen at a counter (RFC 8176 names, and our own)."""
        return (
            [*signed_in, "counter"]
            if self.kind == "person" and self.level >= COUNTER_LEVEL
            else signed_in
        )

    def linked(self, organisation: "Account", now: datetime) -> OrganisationLinked:
        """This person may act for the organisation from now on."""
        self.revision += 1
        return OrganisationLinked(
            account_id=self.id,
            organisation_id=organisation.id,
            uscc=organisation.uscc or "",
            revision=self.revision,
            occurred_at=now,
        )

    def unlinked(self, organisation: "Account", now: datetime) -> OrganisationUnlinked:
        """This person no longer acts for the organisation."""
        self.revision += 1
        return OrganisationUnlinked(
            account_id=self.id,
            organisation_id=organisation.id,
            revision=self.revision,
            occurred_at=now,
        )

    def changed(self, now: datetime) -> StaffChanged:
        """The fact of a changed post."""
        self.revision += 1
        return StaffChanged(
            account_id=self.id,
            area_code=self.area_code or "",
            department_code=self.department_code or "",
            roles=self.roles,
            active=self.active,
            revision=self.revision,
            occurred_at=now,
        )

    def sessions_revoked(self, ids: list[UUID], reason: str, now: datetime) -> SessionsRevoked:
        self.revision += 1
        return SessionsRevoked(
            account_id=self.id,
            session_ids=ids,
            reason=reason,
            revision=self.revision,
            occurred_at=now,
        )


def check_roles(roles: set[str]) -> None:
    """400 naming every pair of duties that exclude each other."""
    faults = [
        FieldError("roles", "excluding_duties", f"{a} and {b} must be different people")
        for first, second in EXCLUDING
        for a in sorted(roles & first)
        for b in sorted(roles & second)
    ]
    if faults:
        raise InvalidInputError("duties that exclude each other", faults)


class OrganisationLink(Base):
    """Who is the legal representative (法定代表人) of an organisation: one at a time, earlier ones keep their dates."""

    __tablename__ = "organisation_link"
    __table_args__ = (
        Index(
            "uq_organisation_link_current",
            "organisation_id",
            unique=True,
            postgresql_where=text("ended_at IS NULL"),
        ),
        Index(
            "ix_organisation_link_person", "person_id", postgresql_where=text("ended_at IS NULL")
        ),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    organisation_id: Mapped[UUID] = mapped_column(ForeignKey("account.id"))
    person_id: Mapped[UUID] = mapped_column(ForeignKey("account.id"))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class Mandate(Base):
    """授权代办: a principal lets a person, named by ID number, act for it in some matters or all, until a day.

    Of the agent only the name (encrypted) and the keyed hash of the number are kept: no account is looked up when it is
    granted, so that nobody learns who has one.
    """

    __tablename__ = "mandate"
    __table_args__ = (
        Index("ix_mandate_principal", "principal_id", "id"),
        Index("ix_mandate_agent", "agent_id_hash", "id"),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    revision: Mapped[int] = mapped_column(Integer)
    principal_id: Mapped[UUID] = mapped_column(ForeignKey("account.id"))
    principal_kind: Mapped[str] = mapped_column(Text)
    principal_name: Mapped[str] = mapped_column(Encrypted("mandate.principal_name"))
    agent_name: Mapped[str] = mapped_column(Encrypted("mandate.agent_name"))
    agent_id_hash: Mapped[bytes] = mapped_column(LargeBinary)
    agent_id: Mapped[UUID | None] = mapped_column(ForeignKey("account.id"))
    matters: Mapped[list[UUID] | None] = mapped_column(ARRAY(Uuid))
    valid_until: Mapped[date] = mapped_column(Date)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    accepted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    end_reason: Mapped[str | None] = mapped_column(Text)

    @classmethod
    def new(
        cls,
        principal: Account,
        agent_name: str,
        agent_id_hash: bytes,
        matters: list[UUID] | None,
        valid_until: date,
        now: datetime,
    ) -> "Mandate":
        """An offer; `matters` None means all."""
        return cls(
            id=new_id(),
            revision=0,
            principal_id=principal.id,
            principal_kind=principal.kind,
            principal_name=principal.name or "",
            agent_name=agent_name,
            agent_id_hash=agent_id_hash,
            matters=matters,
            valid_until=valid_until,
            created_at=now,
        )

    def names(self, account: Account) -> bool:
        """Whether the account is the agent it was written for: number and name as verified."""
        return account.id_number_hash == self.agent_id_hash and account.name == self.agent_name

    def ends_at(self) -> datetime:
        """The end of its last day."""
        return clock.day_start(self.valid_until + timedelta(days=1))

    def state(self, now: datetime) -> str:
        if self.ended_at is not None:
            return "revoked"
        if now >= self.ends_at():
            return "expired"
        return "offered" if self.accepted_at is None else "accepted"

    def check_running(self, now: datetime) -> None:
        """409 unless it has been accepted and still runs."""
        if self.state(now) != "accepted":
            raise ConflictError(
                f"the mandate is {self.state(now)}; only an accepted one can be used"
            )

    def accept(self, agent: Account, now: datetime) -> MandateGranted:
        if self.state(now) != "offered":
            raise ConflictError(
                f"the mandate is {self.state(now)}; only an offered one can be accepted"
            )
        self.agent_id, self.accepted_at = agent.id, now
        self.revision += 1
        return MandateGranted(
            mandate_id=self.id,
            principal_id=self.principal_id,
            agent_id=agent.id,
            matters=self.matters,
            valid_until=self.valid_until,
            revision=self.revision,
            occurred_at=now,
        )

    def revoke(self, reason: str, now: datetime) -> MandateRevoked | None:
        """End it. An offer that nobody accepted was no fact for others, nor is its end."""
        if self.ended_at is not None:
            raise ConflictError("the mandate is revoked already")
        self.ended_at, self.end_reason = now, reason
        if self.agent_id is None:
            return None
        self.revision += 1
        return MandateRevoked(
            mandate_id=self.id,
            principal_id=self.principal_id,
            agent_id=self.agent_id,
            revision=self.revision,
            occurred_at=now,
        )


class MiniProgramLink(Base):
    """A mini-program's user and the account of that person; only keyed hashes of `openid` and `unionid` are kept."""

    __tablename__ = "mini_program_link"

    app_id: Mapped[str] = mapped_column(Text, primary_key=True)
    openid_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    unionid_hash: Mapped[bytes | None] = mapped_column(LargeBinary, index=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("account.id"))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class SmsCode(Base):
    """A code sent to a number: single use, few tries, bound to its purpose. Only the newest of a number counts."""

    __tablename__ = "sms_code"
    __table_args__ = (
        Index("ix_sms_code_phone", "phone_hash", "purpose", "created_at"),
        Index("ix_sms_code_address", "address", "created_at"),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    phone_hash: Mapped[bytes] = mapped_column(LargeBinary)
    purpose: Mapped[str] = mapped_column(Text)
    code_hash: Mapped[bytes] = mapped_column(LargeBinary)
    address: Mapped[str] = mapped_column(Text)
    tries: Mapped[int] = mapped_column(SmallInteger)
    used: Mapped[bool] = mapped_column(Boolean)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class SmsMessage(Base):
    """What the development sender sent, for operators to read."""

    __tablename__ = "sms_message"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    phone_hash: Mapped[bytes] = mapped_column(LargeBinary, index=True)
    text: Mapped[str] = mapped_column(Encrypted("sms_message.text"))
    sent_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)


class SignIn(Base):
    """A session: one sign-in and the family of refresh tokens that descends from it.

    One opened to act for another (an organisation of one's own, or under a mandate) names this principal, belongs to the
    person who acts, and ends with its `parent_id`.
    """

    __tablename__ = "session"
    __table_args__ = (
        Index("ix_session_account", "account_id", postgresql_where=text("NOT revoked")),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("account.id"))
    principal_id: Mapped[UUID | None] = mapped_column(ForeignKey("account.id"))
    mandate_id: Mapped[UUID | None] = mapped_column(ForeignKey("mandate.id"))
    parent_id: Mapped[UUID | None] = mapped_column(ForeignKey("session.id"))
    amr: Mapped[list[str]] = mapped_column(ARRAY(Text))
    signed_in_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    generation: Mapped[int] = mapped_column(Integer)
    rotated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    revoked: Mapped[bool] = mapped_column(Boolean)

    def represents(self, organisation_id: UUID) -> bool:
        """Acts for the organisation as its representative, not under a mandate."""
        return self.principal_id == organisation_id and self.mandate_id is None

    def descends_from(self, session_id: UUID) -> bool:
        return session_id in {self.id, self.parent_id}


class Revocation(Base):
    """The feed of sessions that ended early and of subjects withdrawn for good, read by gateways."""

    __tablename__ = "revocation"

    position: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    session_id: Mapped[UUID | None] = mapped_column(Uuid)
    subject: Mapped[UUID | None] = mapped_column(Uuid)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)


class SigningKey(KeyRow, Base):
    """A key pair: `next` is published before it signs, `old` stays published until its tokens have expired."""

    __tablename__ = "signing_key"

    private_key: Mapped[str] = mapped_column(Encrypted("signing_key.private_key"))


class Throttle(Base):
    """Failures of one account, address or pair of both."""

    __tablename__ = "throttle"

    subject: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    failures: Mapped[int] = mapped_column(Integer)
    blocked_until: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)


class UsedAssertion(Base):
    """The id of a client assertion, so that none is used twice."""

    __tablename__ = "used_assertion"

    jti: Mapped[str] = mapped_column(Text, primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)
