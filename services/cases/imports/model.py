"""Cases of a bureau's own system."""

from datetime import date, datetime
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import DateTime, Integer, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from services.cases.model_base import Base
from shared.database.columns import json_column
from shared.domain.codes import MatterType
from shared.fields import CLEAN, Line

SourceNumber = Annotated[str, Field(pattern=r"^[0-9A-Za-z_./-]{1,60}$")]
"""The number of a case in the bureau's own system."""
ImportedState = Literal["received", "accepted", "closed"]
ImportedResult = Literal["0", "1", "2", "3", "4", "5", "6"]
"""办结结果 as bureaus use it."""


class CaseRecord(BaseModel):
    """One case of a bureau's own system, without any personal data."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow")

    source_number: SourceNumber
    version: int = Field(ge=1, le=2**31 - 1)
    matter_code: Annotated[str, Field(min_length=1, max_length=80), CLEAN]
    matter_name: Line
    matter_type: MatterType
    immediate: bool = False
    applicant_kind: Literal["person", "organisation"]
    state: ImportedState
    received_on: date
    accepted_on: date | None = None
    closed_on: Annotated[date | None, Field(validate_default=True)] = None
    result: Annotated[ImportedResult | None, Field(validate_default=True)] = None
    overdue: bool = False


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
    record: Mapped[CaseRecord] = json_column(CaseRecord)
    imported_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
