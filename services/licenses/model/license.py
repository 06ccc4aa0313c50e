"""The license (电子证照), its versions and steps, and the rules of its life.

Every operation is one method of `License`: it checks that the state allows it, changes the
license, raises its revision by one and returns the event. Methods are pure: time is passed in.
The content of a license is in its versions, each of them signed; `License` holds what is true now.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, TypedDict
from uuid import UUID

from sqlalchemy import (
    Boolean,
    Date,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.licenses.model.base import PLACE, Base
from services.licenses.model.identifiers import MAX_VERSION, masked_number
from services.licenses.model.states import (
    EXPIRABLE_SQL,
    MOVES,
    UNSIGNED_SQL,
    HolderKind,
    Operation,
    Origin,
    Status,
    Trust,
    allowed,
)
from shared.database.columns import enum_column
from shared.errors import ConflictError
from shared.events import licenses as license_events
from shared.events.licenses import (
    LicenseChanged,
    LicenseEvent,
    LicenseExpired,
    LicenseIssued,
    LicenseRevoked,
    LicenseSuspended,
)
from shared.security.crypto import Encrypted

RECORD = "license_version.record"
"""Purpose of the encryption of records."""


class LicenseFacts(TypedDict):
    """What every event tells of a license."""

    license_id: UUID
    revision: int
    occurred_at: datetime
    identifier: str
    number: str
    type_code: str
    type_name: dict[str, str]
    area_code: str
    department_code: str
    issuer_code: str
    holder_kind: Literal["person", "organisation"]
    holder: str
    account_id: UUID | None
    status: license_events.Status
    trust: Literal["A", "B", "C", "D"]
    issued_on: date
    valid_from: date
    valid_until: date | None
    digest: str
    origin: license_events.Origin
    signed: bool
    case_id: UUID | None


class License(Base):
    """One license as it stands now. It holds no name and no number of the holder.

    `holder` is the pseudonym of the holder's number. `source_digest` recognises a collected
    record that is sent again. `case_id` is unique: one case, one license.
    """

    __tablename__ = "license"
    __table_args__ = (
        Index("uq_license_number", *PLACE, "type_code", "number", unique=True),
        Index("ix_license_type_number", "type_code", "number"),
        Index("ix_license_place", *PLACE, "id"),
        Index(
            "ix_license_account",
            "account_id",
            "id",
            postgresql_where=text("account_id IS NOT NULL"),
        ),
        Index("ix_license_holder", "holder", "id"),
        Index("ix_license_runs_out", "valid_until", postgresql_where=text(EXPIRABLE_SQL)),
        Index(
            "ix_license_unsigned",
            *PLACE,
            "type_code",
            "id",
            postgresql_where=text(UNSIGNED_SQL),
        ),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    revision: Mapped[int] = mapped_column(Integer)
    version: Mapped[int] = mapped_column(SmallInteger)
    identifier: Mapped[str] = mapped_column(Text, unique=True)
    number: Mapped[str] = mapped_column(Text)
    type_code: Mapped[str] = mapped_column(Text)
    type_version: Mapped[int] = mapped_column(Integer)
    type_name: Mapped[dict[str, str]] = mapped_column(JSONB)
    area_code: Mapped[str] = mapped_column(Text)
    department_code: Mapped[str] = mapped_column(Text)
    issuer_code: Mapped[str] = mapped_column(Text)
    holder_kind: Mapped[HolderKind] = enum_column(HolderKind)
    holder: Mapped[str] = mapped_column(Text)
    account_id: Mapped[UUID | None] = mapped_column(Uuid)
    status: Mapped[Status] = enum_column(Status)
    trust: Mapped[Trust] = enum_column(Trust)
    origin: Mapped[Origin] = enum_column(Origin)
    signed: Mapped[bool] = mapped_column(Boolean)
    issued_on: Mapped[date] = mapped_column(Date)
    valid_from: Mapped[date] = mapped_column(Date)
    valid_until: Mapped[date | None] = mapped_column(Date)
    digest: Mapped[str] = mapped_column(Text)
    source_digest: Mapped[str | None] = mapped_column(Text)
    case_id: Mapped[UUID | None] = mapped_column(Uuid, unique=True)
    case_number: Mapped[str | None] = mapped_column(Text)
    matter_code: Mapped[str | None] = mapped_column(Text)
    matter_name: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    changed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))

    def _move(self, operation: Operation, now: datetime) -> None:
        states, after = MOVES[operation]
        if self.status not in states:
            raise ConflictError(
                "a licence in state {state} does not allow: {operation}",
                state=self.status.value,
                operation=operation.value,
                extra={"state": self.status.value, "allowed": allowed(self.status)},
            )
        self.status = after
        self.changed_at = now
        self.revision += 1

    def suspend(self, reason: str, now: datetime) -> LicenseSuspended:
        """暂扣.

        Raises:
            ConflictError: the state does not allow it; so with every operation below.
        """
        self._move(Operation.SUSPEND, now)
        return LicenseSuspended(**facts_of(self, now), reason=reason)

    def release(self, now: datetime) -> LicenseChanged:
        """暂扣发还."""
        self._move(Operation.RELEASE, now)
        return LicenseChanged(**facts_of(self, now), change="released")

    def end(self, operation: Operation, *, reason: str, now: datetime) -> LicenseRevoked:
        """撤销, 注销 or 吊销, for good."""
        self._move(operation, now)
        return LicenseRevoked(**facts_of(self, now), reason=reason)

    def transfer(self, now: datetime) -> LicenseChanged:
        """转出 to another place, which issues its own license."""
        self._move(Operation.TRANSFER, now)
        return LicenseChanged(**facts_of(self, now), change="transferred")

    def begin_version(self, operation: Operation, now: datetime) -> None:
        """变更 or 延续: count up to the next version, whose record is made and signed afterwards.

        Raises:
            ConflictError: also when the three digits of the version are used up.
        """
        self._move(operation, now)
        if self.version >= MAX_VERSION:
            raise ConflictError(
                "an identifier has three digits for the version; issue a new licence"
            )
        self.version += 1

    def renewed_version(self, operation: Operation, now: datetime) -> LicenseChanged:
        """The event of the version that `begin_version` began."""
        change: Literal["renewed", "changed"] = "changed"
        if operation is Operation.RENEW:
            change = "renewed"
        return LicenseChanged(**facts_of(self, now), change=change)


@dataclass(slots=True)
class LicenseRow:
    """All columns of a license in the order of the table, for statements on many licenses."""

    id: UUID
    revision: int
    version: int
    identifier: str
    number: str
    type_code: str
    type_version: int
    type_name: dict[str, str]
    area_code: str
    department_code: str
    issuer_code: str
    holder_kind: HolderKind
    holder: str
    account_id: UUID | None
    status: Status
    trust: Trust
    origin: Origin
    signed: bool
    issued_on: date
    valid_from: date
    valid_until: date | None
    digest: str
    source_digest: str | None
    case_id: UUID | None
    case_number: str | None
    matter_code: str | None
    matter_name: str | None
    created_at: datetime
    changed_at: datetime


def facts_of(license: License | LicenseRow, now: datetime) -> LicenseFacts:
    """What an event at `now` tells of the license."""
    return LicenseFacts(
        license_id=license.id,
        revision=license.revision,
        occurred_at=now,
        identifier=license.identifier,
        number=public_number(license.number, kind=license.holder_kind, holder=license.holder),
        type_code=license.type_code,
        type_name=license.type_name,
        area_code=license.area_code,
        department_code=license.department_code,
        issuer_code=license.issuer_code,
        holder_kind=license.holder_kind.value,
        holder=license.holder,
        account_id=license.account_id,
        status=license.status.value,
        trust=license.trust.value,
        issued_on=license.issued_on,
        valid_from=license.valid_from,
        valid_until=license.valid_until,
        digest=license.digest,
        origin=license.origin.value,
        signed=license.signed,
        case_id=license.case_id,
    )


def issued_event(license: LicenseRow, now: datetime) -> LicenseIssued:
    """The event of a license that was issued or collected."""
    return LicenseIssued(**facts_of(license, now))


def collected_event(license: LicenseRow, *, reason: str, now: datetime) -> LicenseEvent:
    """The event of a further version that came with a collected record."""
    facts = facts_of(license, now)
    match license.status:
        case Status.REVOKED | Status.CANCELLED | Status.WITHDRAWN:
            return LicenseRevoked(**facts, reason=reason)
        case Status.SUSPENDED:
            return LicenseSuspended(**facts, reason=reason)
        case Status.EXPIRED:
            return LicenseExpired(**facts)
        case Status.TRANSFERRED:
            return LicenseChanged(**facts, change="transferred")
        case _:
            return LicenseChanged(**facts, change="changed")


def public_number(number: str, *, kind: HolderKind, holder: str) -> str:
    """证照编号 for everybody but the holder; `holder` is the pseudonym."""
    if kind is HolderKind.PERSON:
        return masked_number(number, person=holder)
    return number


class LicenseVersion(Base):
    """What a license says in one version: the canonical record and its signature.

    The record is encrypted as a whole, because it names the holder. `signature` is a JWS without
    its payload, which is the record. `previous` is the identifier of the version before.
    """

    __tablename__ = "license_version"

    license_id: Mapped[UUID] = mapped_column(ForeignKey("license.id"), primary_key=True)
    version: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    identifier: Mapped[str] = mapped_column(Text, unique=True)
    previous: Mapped[str | None] = mapped_column(Text)
    record: Mapped[str] = mapped_column(Encrypted(RECORD))
    digest: Mapped[str] = mapped_column(Text)
    kid: Mapped[str | None] = mapped_column(Text)
    signature: Mapped[str | None] = mapped_column(Text)
    act: Mapped[Operation] = enum_column(Operation)
    reason: Mapped[str | None] = mapped_column(Text)
    made_by: Mapped[str] = mapped_column(Text)
    made_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class LicenseStep(Base):
    """One operation on a license, as its holder may see it: which, why, when."""

    __tablename__ = "license_step"
    __table_args__ = (Index("ix_license_step_license_id", "license_id", "id"),)

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    license_id: Mapped[UUID] = mapped_column(ForeignKey("license.id"))
    act: Mapped[Operation] = enum_column(Operation)
    status: Mapped[Status] = enum_column(Status)
    version: Mapped[int] = mapped_column(SmallInteger)
    reason: Mapped[str | None] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
