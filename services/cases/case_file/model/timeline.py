"""The tables around a case: the matter's copy, numbers, steps, uploads, pushed cases, the calendar."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import DateTime, ForeignKey, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from services.cases.model_base import Base
from shared.security.crypto import Encrypted


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
