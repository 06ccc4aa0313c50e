"""The tables around a case: the matter's copy, numbers, steps, uploads, pushed cases, the calendar."""

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
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.cases.model.base import Base
from shared.database.guess_limits import TriesRow
from shared.security.crypto import Encrypted


class MatterCopy(Base):
    """The published matter as its events told it."""

    __tablename__ = "matter_copy"

    matter_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    revision: Mapped[int] = mapped_column(Integer)
    version: Mapped[int] = mapped_column(Integer)
    open: Mapped[bool] = mapped_column(Boolean)
    document: Mapped[dict[str, Any]] = mapped_column(JSONB)


class CaseSerial(Base):
    """The last serial of a matter on a day."""

    __tablename__ = "case_serial"

    code: Mapped[str] = mapped_column(Text, primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    last: Mapped[int] = mapped_column(Integer)


class TimelineRow(Base):
    """One step in the case's life, as its applicant may see it: which act, by which role, when, and which agent for her.

    All but `opinion`, the words of a review: they are the department's own, and may hold anything about anybody.
    """

    __tablename__ = "case_step"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    case_id: Mapped[UUID] = mapped_column(ForeignKey("case_file.id"), index=True)
    act: Mapped[str] = mapped_column(Text)
    role: Mapped[str] = mapped_column(Text)
    agent_id: Mapped[str | None] = mapped_column(Text)
    note: Mapped[str | None] = mapped_column(Text)
    opinion: Mapped[str | None] = mapped_column(Encrypted("case_step.opinion"))
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class Upload(Base):
    """A file that somebody brought, stored by its digest; brought again, it is the same upload."""

    __tablename__ = "upload"
    __table_args__ = (UniqueConstraint("owner", "digest"),)

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    owner: Mapped[str] = mapped_column(Text)
    digest: Mapped[str] = mapped_column(Text)
    media_type: Mapped[str] = mapped_column(Text)
    size: Mapped[int] = mapped_column(Integer)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class ImportedCase(Base):
    """A case of a bureau's own system, at its newest version (办件推送)."""

    __tablename__ = "imported_case"

    area_code: Mapped[str] = mapped_column(Text, primary_key=True)
    department_code: Mapped[str] = mapped_column(Text, primary_key=True)
    source_system: Mapped[str] = mapped_column(Text, primary_key=True)
    source_number: Mapped[str] = mapped_column(Text, primary_key=True)
    case_id: Mapped[UUID] = mapped_column(Uuid, unique=True)
    version: Mapped[int] = mapped_column(Integer)
    revision: Mapped[int] = mapped_column(Integer)
    record: Mapped[dict[str, Any]] = mapped_column(JSONB)
    imported_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class CalendarDay(Base):
    """A day that differs from Monday to Friday."""

    __tablename__ = "calendar_day"

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    is_working: Mapped[bool] = mapped_column(Boolean)
    note: Mapped[str] = mapped_column(Text)


class CalendarVersion(Base):
    """One row, a new random value with every change of the calendar: it names the content, whatever process reads it."""

    __tablename__ = "calendar_version"

    version: Mapped[UUID] = mapped_column(Uuid, primary_key=True)


class CalendarChange(Base):
    """A change of the calendar and how far the due dates of open cases follow it.

    `days`: the changed days as sent. `reached`: the last case looked at in the running pass, stored with the work, so that
    a process that dies is followed by another without a gap. A second pass, minutes later, finds the cases whose
    transaction had read the old calendar while the first was running. `moved`: number of cases by area and department.
    """

    __tablename__ = "calendar_change"
    __table_args__ = (
        Index("ix_calendar_change_unfinished", "id", postgresql_where=text("passes < 2")),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    days: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    changed_by: Mapped[str] = mapped_column(Text)
    changed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    passes: Mapped[int] = mapped_column(SmallInteger)
    reached: Mapped[UUID] = mapped_column(Uuid)
    moved: Mapped[dict[str, int]] = mapped_column(JSONB)


class TrackingTries(TriesRow, Base):
    """Tries to track a case without signing in."""

    __tablename__ = "tracking_tries"
