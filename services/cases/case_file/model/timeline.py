"""The timeline of a case."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import DateTime, ForeignKey, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from services.cases.case_file.model.enums import StepRole
from services.cases.case_file.model.states import CaseAct
from services.cases.model_base import Base
from shared.database.columns import enum_column
from shared.security.crypto import Encrypted

OPINION_PURPOSE = "case_step.opinion"
"""Name under which opinions are encrypted."""


class TimelineRow(Base):
    """One step in the life of a case: which act, by which role, when, and by which agent.

    The applicant may see all of it but `opinion`, the text of a review (审查意见): it belongs to
    the department and may contain anything about anybody.
    """

    __tablename__ = "case_step"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    case_id: Mapped[UUID] = mapped_column(ForeignKey("case_file.id"), index=True)
    act: Mapped[CaseAct] = enum_column(CaseAct)
    role: Mapped[StepRole] = enum_column(StepRole)
    agent_id: Mapped[str | None] = mapped_column(Text)
    note: Mapped[str | None] = mapped_column(Text)
    opinion: Mapped[str | None] = mapped_column(Encrypted(OPINION_PURPOSE))
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
