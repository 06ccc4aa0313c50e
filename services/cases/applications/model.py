"""Tables that applications rest on."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, DateTime, Integer, Text, UniqueConstraint, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from services.cases.model_base import Base
from shared.database.columns import enum_column, json_column
from shared.database.serials import SerialRow
from shared.domain.guides import MatterDocument
from shared.domain.media_types import MediaType


class MatterCopy(Base):
    """The published matter as its newest event describes it."""

    __tablename__ = "matter_copy"

    matter_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    revision: Mapped[int] = mapped_column(Integer)
    event_number: Mapped[int | None] = mapped_column(BigInteger)
    """Of the newest event; empty of a release before 0.2, which went by the revision."""
    version: Mapped[int] = mapped_column(Integer)
    open: Mapped[bool] = mapped_column(Boolean)
    document: Mapped[MatterDocument] = json_column(MatterDocument)


class CaseSerial(SerialRow, Base):
    """The last serial number of a matter (办件编号) on a day."""

    __tablename__ = "case_serial"


class Upload(Base):
    """A file that somebody uploaded, stored by its digest; sent again, it is the same upload.

    `size` in bytes.
    """

    __tablename__ = "upload"
    __table_args__ = (UniqueConstraint("owner", "digest"),)

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    owner: Mapped[str] = mapped_column(Text)
    digest: Mapped[str] = mapped_column(Text)
    media_type: Mapped[MediaType] = enum_column(MediaType)
    size: Mapped[int] = mapped_column(Integer)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
