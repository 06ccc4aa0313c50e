"""The licence (电子证照) and the rules of its life.

Every act is one method: it checks that the state allows it, changes the licence, raises its revision by one and returns the
fact. Pure: time is passed in. What a licence says lies in its versions, signed one by one; here is what holds of it now.
"""

from datetime import date, datetime
from typing import Any
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
from services.licenses.model.identifiers import masked_number
from services.licenses.model.states import MOVES, RUNS_OUT, Act, Status, allowed
from shared.errors import ConflictError
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
UNSIGNED = "NOT signed AND status = '01'"
"""As SQL, letter for letter the predicate of the partial index."""


class License(Base):
    """One licence as it stands. `holder` is the pseudonym of the holder's number: no name or number lies here.

    `source_digest`: of the collected record as it was sent, to know it again. `case_id` is unique: one case, one licence.
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
        Index("ix_license_runs_out", "valid_until", postgresql_where=text(RUNS_OUT)),
        Index("ix_license_unsigned", *PLACE, "type_code", "id", postgresql_where=text(UNSIGNED)),
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
    holder_kind: Mapped[str] = mapped_column(Text)
    holder: Mapped[str] = mapped_column(Text)
    account_id: Mapped[UUID | None] = mapped_column(Uuid)
    status: Mapped[str] = mapped_column(Text)
    trust: Mapped[str] = mapped_column(Text)
    origin: Mapped[str] = mapped_column(Text)
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

    def facts(self, now: datetime) -> dict[str, Any]:
        return facts_of(self, now)

    def issued(self, now: datetime) -> LicenseIssued:
        return LicenseIssued(**self.facts(now))

    def _move(self, act: Act, now: datetime) -> None:
        states, after = MOVES[act]
        present = Status(self.status)
        if present not in states:
            raise ConflictError(
                f"a licence in state {present.value} does not allow: {act.value}",
                extra={"state": present.value, "allowed": allowed(present)},
            )
        self.status, self.changed_at = after, now
        self.revision += 1

    def suspend(self, reason: str, now: datetime) -> LicenseSuspended:
        """暂扣."""
        self._move(Act.SUSPEND, now)
        return LicenseSuspended(**self.facts(now), reason=reason)

    def release(self, now: datetime) -> LicenseChanged:
        """暂扣发还."""
        self._move(Act.RELEASE, now)
        return LicenseChanged(**self.facts(now), change="released")

    def end(self, act: Act, reason: str, now: datetime) -> LicenseRevoked:
        """撤销, 注销 or 吊销, for good."""
        self._move(act, now)
        return LicenseRevoked(**self.facts(now), reason=reason)

    def transfer(self, now: datetime) -> LicenseChanged:
        """转出 to another place, which issues its own."""
        self._move(Act.TRANSFER, now)
        return LicenseChanged(**self.facts(now), change="transferred")

    def begin_version(self, act: Act, now: datetime) -> None:
        """变更 or 延续: the next version; what it says is made and signed next."""
        self._move(act, now)
        if self.version >= 999:
            raise ConflictError(
                "an identifier has three digits for the version; issue a new licence"
            )
        self.version += 1

    def renewed_version(self, act: Act, now: datetime) -> LicenseChanged:
        return LicenseChanged(
            **self.facts(now), change="renewed" if act is Act.RENEW else "changed"
        )


_TOLD = tuple(LicenseEvent.model_fields.keys() - {"license_id", "occurred_at", "number"})
"""What a fact tells as the licence has it."""


def facts_of(license: Any, now: datetime) -> dict[str, Any]:
    """What every fact tells of a licence, from the entity or a row with its columns."""
    made = {"license_id": license.id, "occurred_at": now, "number": shown_number(license)}
    return {**made, **{name: getattr(license, name) for name in _TOLD}}


def shown_number(license: Any) -> str:
    """证照编号 for everybody but the holder."""
    return masked_number(
        license.number, license.holder if license.holder_kind == "person" else None
    )


def fact_of_status(license: Any, reason: str, now: datetime) -> LicenseEvent:
    """The fact of a new version or status that came with a collected record."""
    facts = facts_of(license, now)
    if license.status in {"03", "04", "07"}:
        return LicenseRevoked(**facts, reason=reason)
    if license.status == "02":
        return LicenseSuspended(**facts, reason=reason)
    if license.status == "05":
        return LicenseExpired(**facts)
    return LicenseChanged(**facts, change="transferred" if license.status == "06" else "changed")


class LicenseVersion(Base):
    """What a licence says in one version: the canonical record (encrypted whole: it names the holder) and its signature.

    `signature` is a JWS without its payload, which is the record; `previous` the identifier of the version before.
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
    act: Mapped[str] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)
    made_by: Mapped[str] = mapped_column(Text)
    made_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class LicenseStep(Base):
    """One operation on a licence, as its holder may see it: which, why, when."""

    __tablename__ = "license_step"
    __table_args__ = (Index("ix_license_step_license_id", "license_id", "id"),)

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    license_id: Mapped[UUID] = mapped_column(ForeignKey("license.id"))
    act: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text)
    version: Mapped[int] = mapped_column(SmallInteger)
    reason: Mapped[str | None] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
