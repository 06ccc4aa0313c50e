"""Tables of identity and their rules."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Literal
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
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared import clock
from shared.database.columns import EnumText, StoredModel, enum_column, json_column
from shared.database.common_tables import SmsMessageRow
from shared.database.key_ring import KeyRow
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


class AccountKind(StrEnum):
    """Whom an account belongs to."""

    PERSON = "person"
    ORGANISATION = "organisation"
    STAFF = "staff"
    SYSTEM = "system"


class StaffRole(StrEnum):
    """Duties of staff members."""

    WINDOW_CLERK = "window_clerk"  # 窗口人员
    APPROVER = "approver"  # 审批人员
    LEADER = "leader"  # 部门分管领导
    DELIVERY = "delivery"  # 出证人员
    DEPARTMENT_HEAD = "department_head"  # 部门负责人
    SUPERVISOR = "supervisor"  # 监察人员
    RATING_HANDLER = "rating_handler"  # 差评处理人员
    HOTLINE_OPERATOR = "hotline_operator"  # 热线话务员
    AUDITOR = "auditor"  # 审计员
    ADMINISTRATOR = "administrator"  # 系统管理员


class SystemScope(StrEnum):
    """What a bureau's system may do."""

    CASES_PUSH = "cases:push"
    MATTERS_READ = "matters:read"
    LICENSES_READ = "licenses:read"
    LICENSES_ISSUE = "licenses:issue"
    RATINGS_PUSH = "ratings:push"
    EXCHANGE_EVENTS = "exchange:events"
    EXCHANGE_PUSH = "exchange:push"


class SmsPurpose(StrEnum):
    """What an SMS code is for: signing in, or binding a mini-program's user to a phone."""

    SIGN_IN = "sign_in"
    BIND = "bind"


class VerificationMethod(StrEnum):
    """How an account reached its assurance level."""

    REAL_NAME = "real_name"  # 实名核验
    COUNTER = "counter"  # 窗口核验


class SignInMethod(StrEnum):
    """How one signed in: `amr` of tokens (RFC 8176 names, and our own)."""

    SMS = "sms"
    MINI_PROGRAM = "mini_program"
    PASSWORD = "pwd"  # noqa: S105 - a name, no secret
    TOTP = "otp"
    COUNTER = "counter"
    """The card was seen at a counter; only in tokens, no session begins with it."""


class MandateState(StrEnum):
    """Where a mandate stands; derived from its times."""

    OFFERED = "offered"
    ACCEPTED = "accepted"
    REVOKED = "revoked"
    EXPIRED = "expired"


class EndReason(StrEnum):
    """Why sessions end before their time, as the event tells it."""

    SIGNED_OUT = "signed out"
    SIGNED_OUT_EVERYWHERE = "signed out everywhere"
    TOKEN_REUSED = "refresh token used again"  # noqa: S105 - a reason, no secret
    POST_CHANGED = "post changed"
    POST_LEFT = "left the post"
    REPRESENTATIVE_REPLACED = "another legal representative"
    LINK_REMOVED = "link removed by the person"
    MANDATE_REVOKED = "mandate revoked"
    SYSTEM_WITHDRAWN = "withdrawn"


# One person must not hold both duties of a pair: intake, approval and delivery apart, and who
# audits does not administer.
EXCLUDING = (
    (
        frozenset({StaffRole.WINDOW_CLERK}),
        frozenset({StaffRole.APPROVER, StaffRole.LEADER}),
    ),
    (frozenset({StaffRole.WINDOW_CLERK}), frozenset({StaffRole.DELIVERY})),
    (
        frozenset({StaffRole.APPROVER, StaffRole.LEADER}),
        frozenset({StaffRole.DELIVERY}),
    ),
    (frozenset({StaffRole.AUDITOR}), frozenset({StaffRole.ADMINISTRATOR})),
)

PHONE_LEVEL = 1
"""Signed in with a phone, nothing more is known."""
REAL_NAME_LEVEL = 2
"""The police confirmed that name and ID number belong together (实名核验)."""
COUNTER_LEVEL = 3
"""A clerk saw the person and the card (窗口核验)."""


class BindingRequiredError(ConflictError):
    """The mini-program's user belongs to no account yet.

    The answer has a `binding_token`: prove a phone with it.
    """

    code, title = "binding_required", "Bind a phone first"


class Base(DeclarativeBase):
    metadata = new_metadata()


class SystemKey(StoredModel):
    """The Ed25519 key with which a bureau's system signs its client assertions (RFC 8037)."""

    kty: Literal["OKP"] = "OKP"
    crv: Literal["Ed25519"] = "Ed25519"
    x: str


class Account(Base):
    """A natural person, an organisation, a staff member or a system.

    Personal data is encrypted and found by keyed hash.
    """

    __tablename__ = "account"
    __table_args__ = (Index("ix_account_staff", "id", postgresql_where=text("kind = 'staff'")),)

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    kind: Mapped[AccountKind] = enum_column(AccountKind)
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
    roles: Mapped[list[StaffRole]] = mapped_column(ARRAY(EnumText(StaffRole)))
    scopes: Mapped[list[SystemScope]] = mapped_column(ARRAY(EnumText(SystemScope)))
    public_key: Mapped[SystemKey | None] = json_column(SystemKey)

    @classmethod
    def new(cls, kind: AccountKind, now: datetime) -> "Account":
        """An account of which only the kind is known; `registered` is its event."""
        return cls(
            id=new_id(),
            kind=kind,
            revision=1,
            level=PHONE_LEVEL,
            active=True,
            created_at=now,
            totp_last_step=0,
            roles=[],
            scopes=[],
        )

    def registered(self) -> AccountRegistered:
        """The event of a new account."""
        return AccountRegistered(
            account_id=self.id, kind=self.kind.value, revision=1, occurred_at=self.created_at
        )

    def verify(
        self,
        *,
        name: str,
        id_number: str,
        id_number_hash: bytes,
        level: int,
        method: VerificationMethod,
        now: datetime,
    ) -> IdentityVerified:
        """Keep who the person is, at level 2 (real name) or 3 (counter)."""
        self.name = name
        self.id_number = id_number
        self.id_number_hash = id_number_hash
        self.level = level
        self.revision += 1
        return IdentityVerified(
            account_id=self.id,
            level=level,
            method=method.value,
            holder=seal_for({"name": name, "id_number": id_number}, "identity.person"),
            revision=self.revision,
            occurred_at=now,
        )

    def amr(self, signed_in: Sequence[SignInMethod]) -> list[SignInMethod]:
        """How one signed in, and whether the card was seen at a counter."""
        methods = list(signed_in)
        if self.kind is AccountKind.PERSON and self.level >= COUNTER_LEVEL:
            methods.append(SignInMethod.COUNTER)
        return methods

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
        """The event of a changed post."""
        self.revision += 1
        return StaffChanged(
            account_id=self.id,
            area_code=self.area_code or "",
            department_code=self.department_code or "",
            roles=list(self.roles),
            active=self.active,
            revision=self.revision,
            occurred_at=now,
        )

    def sessions_revoked(
        self, ids: list[UUID], *, reason: EndReason, now: datetime
    ) -> SessionsRevoked:
        """The event of sessions that ended early; no ids mean all sessions."""
        self.revision += 1
        return SessionsRevoked(
            account_id=self.id,
            session_ids=ids,
            reason=reason.value,
            revision=self.revision,
            occurred_at=now,
        )


def check_roles(roles: Iterable[StaffRole]) -> list[StaffRole]:
    """The roles in order, each once.

    Raises:
        InvalidInputError: names every pair of duties that exclude each other.
    """
    chosen = sorted(set(roles))
    faults: list[FieldError] = []
    for first, second in EXCLUDING:
        for one in chosen:
            if one not in first:
                continue
            for other in chosen:
                if other in second:
                    faults.append(_excluding(one, other=other))
    if faults:
        raise InvalidInputError("duties that exclude each other", faults)
    return chosen


def _excluding(one: StaffRole, *, other: StaffRole) -> FieldError:
    return FieldError(
        "roles",
        "excluding_duties",
        message="{first} and {second} must be different people",
        first=one.value,
        second=other.value,
    )


class OrganisationLink(Base):
    """Who is the legal representative (法定代表人) of an organisation.

    There is one at a time; earlier ones keep their dates.
    """

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
    """授权代办: a principal lets a person act for it in some matters or all, until a day.

    The agent is named by ID number. Only the name (encrypted) and the keyed hash of the number are
    kept: no account is looked up when the mandate is granted, so that nobody learns who has one.
    """

    __tablename__ = "mandate"
    __table_args__ = (
        Index("ix_mandate_principal", "principal_id", "id"),
        Index("ix_mandate_agent", "agent_id_hash", "id"),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    revision: Mapped[int] = mapped_column(Integer)
    principal_id: Mapped[UUID] = mapped_column(ForeignKey("account.id"))
    principal_kind: Mapped[AccountKind] = enum_column(AccountKind)
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
        *,
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

    def state(self, now: datetime) -> MandateState:
        if self.ended_at is not None:
            return MandateState.REVOKED
        if now >= self.ends_at():
            return MandateState.EXPIRED
        if self.accepted_at is None:
            return MandateState.OFFERED
        return MandateState.ACCEPTED

    def check_running(self, now: datetime) -> None:
        """Whether it has been accepted and still runs.

        Raises:
            ConflictError: it does not.
        """
        state = self.state(now)
        if state is not MandateState.ACCEPTED:
            raise ConflictError(
                "the mandate is {state}; only an accepted one can be used", state=state.value
            )

    def accept(self, agent: Account, now: datetime) -> MandateGranted:
        """The agent takes it on.

        Raises:
            ConflictError: it is not offered (any more).
        """
        state = self.state(now)
        if state is not MandateState.OFFERED:
            raise ConflictError(
                "the mandate is {state}; only an offered one can be accepted", state=state.value
            )
        self.agent_id = agent.id
        self.accepted_at = now
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
        """End it. There is no event for an offer that nobody accepted.

        Raises:
            ConflictError: it is revoked already.
        """
        if self.ended_at is not None:
            raise ConflictError("the mandate is revoked already")
        self.ended_at = now
        self.end_reason = reason
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
    """A mini-program's user and the account of that person.

    Only keyed hashes of `openid` and `unionid` are kept.
    """

    __tablename__ = "mini_program_link"

    app_id: Mapped[str] = mapped_column(Text, primary_key=True)
    openid_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    unionid_hash: Mapped[bytes | None] = mapped_column(LargeBinary, index=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("account.id"))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class SmsCode(Base):
    """A code sent to a phone: single use, few attempts, bound to its purpose.

    Only the newest of a phone is valid.
    """

    __tablename__ = "sms_code"
    __table_args__ = (
        Index("ix_sms_code_phone", "phone_hash", "purpose", "created_at"),
        Index("ix_sms_code_address", "address", "created_at"),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    phone_hash: Mapped[bytes] = mapped_column(LargeBinary)
    purpose: Mapped[SmsPurpose] = enum_column(SmsPurpose)
    code_hash: Mapped[bytes] = mapped_column(LargeBinary)
    address: Mapped[str] = mapped_column(Text)
    tries: Mapped[int] = mapped_column(SmallInteger)
    used: Mapped[bool] = mapped_column(Boolean)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class SmsMessage(SmsMessageRow, Base):
    """What the development sender sent."""


class SignIn(Base):
    """A session: one sign-in and the refresh tokens that follow from it.

    A session for acting for another (for one's own organisation, or under a mandate) names this
    principal, belongs to the person who acts, and ends with the session `parent_id`.
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
    amr: Mapped[list[SignInMethod]] = mapped_column(ARRAY(EnumText(SignInMethod)))
    signed_in_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    generation: Mapped[int] = mapped_column(Integer)
    rotated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    revoked: Mapped[bool] = mapped_column(Boolean)

    def represents(self, organisation_id: UUID) -> bool:
        """Whether the person acts for the organisation as its representative, without a mandate."""
        return self.principal_id == organisation_id and self.mandate_id is None

    def descends_from(self, session_id: UUID) -> bool:
        """Whether it is this session, or was opened from it."""
        return session_id in {self.id, self.parent_id}


class Revocation(Base):
    """The feed of sessions that ended early and of withdrawn subjects, which gateways read."""

    __tablename__ = "revocation"

    position: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    session_id: Mapped[UUID | None] = mapped_column(Uuid)
    subject: Mapped[UUID | None] = mapped_column(Uuid)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)


class SigningKey(KeyRow, Base):
    """A key pair: `next` is published before it signs, `old` until its tokens have expired."""

    __tablename__ = "signing_key"

    private_key: Mapped[str] = mapped_column(Encrypted("signing_key.private_key"))


class Throttle(Base):
    """Failed sign-ins of one account, one address, or a pair of both."""

    __tablename__ = "throttle"

    subject: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    failures: Mapped[int] = mapped_column(Integer)
    blocked_until: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)


class UsedAssertion(Base):
    """The id of a client assertion, so that none is used twice."""

    __tablename__ = "used_assertion"

    jti: Mapped[str] = mapped_column(Text, primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)
