"""Supervision records (监管行为) that bureaus send.

And their number by department and behaviour.
"""

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, Date, DateTime, Integer, LargeBinary, SmallInteger, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from services.matters.model.base import Base
from shared.database.columns import enum_column


class Behaviour(StrEnum):
    """监管行为, by the codes of 事项类型."""

    PENALTY = "02"  # 处罚
    COMPULSION = "03"  # 强制
    INSPECTION = "06"  # 检查
    OTHER = "10"  # 其他


class ObjectKind(StrEnum):
    """Who was inspected or punished."""

    PERSON = "person"
    ORGANISATION = "organisation"


class SupervisionRecord(Base):
    """A record at its newest version.

    `object` is an organisation's USCC, or the pseudonym of a person.
    """

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
    behaviour: Mapped[Behaviour] = enum_column(Behaviour)
    object_kind: Mapped[ObjectKind] = enum_column(ObjectKind)
    object: Mapped[str] = mapped_column(Text)
    done_on: Mapped[date] = mapped_column(Date)
    result: Mapped[str] = mapped_column(Text)
    officers: Mapped[int] = mapped_column(SmallInteger)
    recorded_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class SupervisionCount(Base):
    """Number of a department's records of each behaviour, counted as they are stored."""

    __tablename__ = "supervision_count"

    area_code: Mapped[str] = mapped_column(Text, primary_key=True)
    department_code: Mapped[str] = mapped_column(Text, primary_key=True)
    behaviour: Mapped[Behaviour] = enum_column(Behaviour, primary_key=True)
    records: Mapped[int] = mapped_column(BigInteger)
