"""Tables around a license: keys, account links, uses and authorisations, jobs, counts, tries."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Text,
    Uuid,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from services.licenses.model.base import PLACE, Base
from shared.database.guess_limits import GuessCountRow
from shared.database.key_ring import KeyRow
from shared.security.crypto import Encrypted


class SigningKey(KeyRow, Base):
    """A signing key. Old ones stay for good, because licenses outlive them."""

    __tablename__ = "signing_key"
    __table_args__ = (
        Index(
            "uq_signing_key_current",
            "state",
            unique=True,
            postgresql_where=text("state = 'current'"),
        ),
    )

    algorithm: Mapped[str] = mapped_column(Text, default="EdDSA")
    private_key: Mapped[str] = mapped_column(Encrypted("signing_key.private_key"))


class AccountLink(Base):
    """The account whose number identity has verified; `holder` is the number's pseudonym."""

    __tablename__ = "account_link"

    holder: Mapped[str] = mapped_column(Text, primary_key=True)
    account_id: Mapped[UUID] = mapped_column(Uuid, index=True)


class UseAuthorisation(Base):
    """用证授权: the holder allows one use of a license, in one matter, until `until`.

    Of the code only a keyed hash is kept.
    """

    __tablename__ = "use_authorisation"
    __table_args__ = (Index("ix_use_authorisation_license_id", "license_id", "id"),)

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    license_id: Mapped[UUID] = mapped_column(ForeignKey("license.id"))
    code_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    matter_code: Mapped[str] = mapped_column(Text)
    given_by: Mapped[str] = mapped_column(Text)
    given_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    until: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    used_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    withdrawn_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class LicenseUse(Base):
    """One use (用证): for which case and matter, by whom, why.

    One row per case and material, however often the event is delivered.
    """

    __tablename__ = "license_use"
    __table_args__ = (
        Index("ix_license_use_license_id", "license_id", "id"),
        Index(
            "uq_license_use_case",
            "license_id",
            "case_id",
            "material_code",
            unique=True,
            postgresql_where=text("case_id IS NOT NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    license_id: Mapped[UUID] = mapped_column(ForeignKey("license.id"))
    case_id: Mapped[UUID | None] = mapped_column(Uuid)
    case_number: Mapped[str] = mapped_column(Text)
    matter_id: Mapped[UUID | None] = mapped_column(Uuid)
    matter_code: Mapped[str | None] = mapped_column(Text)
    matter_name: Mapped[str | None] = mapped_column(Text)
    material_code: Mapped[str | None] = mapped_column(Text)
    area_code: Mapped[str] = mapped_column(Text)
    department_code: Mapped[str] = mapped_column(Text)
    operator: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    authorisation_id: Mapped[UUID | None] = mapped_column(Uuid, unique=True)
    digest: Mapped[str] = mapped_column(Text)
    used_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class SigningJob(Base):
    """签发 of collected licenses, and how far it has come.

    It covers the licenses that were there when it began: those with ids below its own.
    """

    __tablename__ = "signing_job"
    __table_args__ = (
        Index("ix_signing_job_open", "id", postgresql_where=text("finished_at IS NULL")),
        Index("ix_signing_job_place", *PLACE, "id"),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    area_code: Mapped[str] = mapped_column(Text)
    department_code: Mapped[str] = mapped_column(Text)
    type_code: Mapped[str | None] = mapped_column(Text)
    total: Mapped[int] = mapped_column(Integer)
    done: Mapped[int] = mapped_column(Integer)
    failed: Mapped[int] = mapped_column(Integer)
    reached: Mapped[UUID] = mapped_column(Uuid)
    created_by: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class Counted:
    """Columns of counts. Each transaction adds a row; a timer adds the rows up.

    So no transaction waits for a shared row, and no count reads all licenses.
    """

    area_code: Mapped[str] = mapped_column(Text)
    department_code: Mapped[str] = mapped_column(Text)
    type_code: Mapped[str] = mapped_column(Text)
    collected: Mapped[int] = mapped_column(BigInteger, server_default="0")
    issued: Mapped[int] = mapped_column(BigInteger, server_default="0")
    signed: Mapped[int] = mapped_column(BigInteger, server_default="0")
    uses: Mapped[int] = mapped_column(BigInteger, server_default="0")
    refused_uses: Mapped[int] = mapped_column(BigInteger, server_default="0")
    license_materials: Mapped[int] = mapped_column(BigInteger, server_default="0")
    licenses_used: Mapped[int] = mapped_column(BigInteger, server_default="0")


NO_TYPE = "-"
COUNTS = (
    "collected",
    "issued",
    "signed",
    "uses",
    "refused_uses",
    "license_materials",
    "licenses_used",
)


class Counting(Counted, Base):
    """Counts that are not added to the sums yet."""

    __tablename__ = "license_counting"

    position: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)


class Count(Counted, Base):
    """Sums by area, department and type; the type is `NO_TYPE` for counts without one."""

    __tablename__ = "license_count"

    area_code: Mapped[str] = mapped_column(Text, primary_key=True)
    department_code: Mapped[str] = mapped_column(Text, primary_key=True)
    type_code: Mapped[str] = mapped_column(Text, primary_key=True)


class CheckTries(GuessCountRow, Base):
    """Attempts to check a license without signing in."""

    __tablename__ = "check_tries"
