"""Supervision records (监管行为) that bureaus send, and their number by department and behaviour."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import BigInteger, Date, DateTime, Integer, LargeBinary, SmallInteger, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from services.matters.model.base import Base


class SupervisionRecord(Base):
    """A record at its newest version. `object` is an organisation's USCC, or the pseudonym of a person."""

    __tablename__ = "supervision_record"

    area_code: Mapped[str] = mapped_column(Text, primary_key=True)
    department_code: Mapped[str] = mapped_column(Text, primary_key=True)
    source: Mapped[str] = mapped_column(Text, primary_key=True)
    source_number: Mapped[str] = mapped_column(Text, primary_key=True)
    id: Mapped[UUID] = mapped_column(Uuid, unique=True)
    version: Mapped[int] = mapped_column(Integer)
    revision: Mapped[int] = mapped_column(Integer)
    content_hash: Mapped[bytes] = mapped_column(LargeBinary)
    regulatory_code: Mapped[str] = mapped_column(Text)
    behaviour: Mapped[str] = mapped_column(Text)
    object_kind: Mapped[str] = mapped_column(Text)
    object: Mapped[str] = mapped_column(Text)
    done_on: Mapped[date] = mapped_column(Date)
    result: Mapped[str] = mapped_column(Text)
    officers: Mapped[int] = mapped_column(SmallInteger)
    recorded_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class SupervisionCount(Base):
    """How many records a department has of each behaviour, kept with the records: no count over the big table."""

    __tablename__ = "supervision_count"

    area_code: Mapped[str] = mapped_column(Text, primary_key=True)
    department_code: Mapped[str] = mapped_column(Text, primary_key=True)
    behaviour: Mapped[str] = mapped_column(Text, primary_key=True)
    records: Mapped[int] = mapped_column(BigInteger)
