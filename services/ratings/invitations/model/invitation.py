"""评价邀请: the right to rate one service event, once."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Boolean,
    Date,
    DateTime,
    Index,
    Integer,
    SmallInteger,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from services.ratings.model_base import PLACE, Base
from shared.security.crypto import Encrypted

SERVICE = (
    "stage",
    "case_id",
    "case_number",
    "service_number",
    "area_code",
    "department_code",
    "matter_id",
    "matter_code",
    "matter_name",
    "hall",
    "window",
)
"""What an invitation says of the service, which a rating of it says too."""


class Invitation(Base):
    """One service event: (`case_number`, `service_number`) of a case, or a visit to a window (`visit` names it).

    Without `case_id` a department's private network says that the case is its own; only the case's fact makes it so.
    `stage` is acceptance, closing or visit; `account_id` the applicant's account where there is one; `contact_name` and
    `phone` are known only of cases. `token_hash` is the SHA-256 of the single-use token in its link, which the key `kid` signed
    and can sign again. `sms_pending`: its message is not sent yet.
    """

    __tablename__ = "invitation"
    __table_args__ = (
        UniqueConstraint(
            "case_number", "service_number", *PLACE, name="uq_invitation_service_event"
        ),
        UniqueConstraint("visit", name="uq_invitation_visit"),
        Index(
            "ix_invitation_account",
            "account_id",
            "id",
            postgresql_where=text("account_id IS NOT NULL"),
        ),
        Index("ix_invitation_sms", "id", postgresql_where=text("sms_pending")),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    revision: Mapped[int] = mapped_column(Integer)
    stage: Mapped[str] = mapped_column(Text)
    case_id: Mapped[UUID | None] = mapped_column(Uuid)
    case_number: Mapped[str | None] = mapped_column(Text)
    service_number: Mapped[int] = mapped_column(SmallInteger)
    visit: Mapped[str | None] = mapped_column(Text)
    area_code: Mapped[str] = mapped_column(Text)
    department_code: Mapped[str] = mapped_column(Text)
    matter_id: Mapped[UUID | None] = mapped_column(Uuid)
    matter_code: Mapped[str | None] = mapped_column(Text)
    matter_name: Mapped[str | None] = mapped_column(Text)
    hall: Mapped[str | None] = mapped_column(Text)
    window: Mapped[str | None] = mapped_column(Text)
    account_id: Mapped[UUID | None] = mapped_column(Uuid)
    contact_name: Mapped[str | None] = mapped_column(Encrypted("invitation.contact_name"))
    phone: Mapped[str | None] = mapped_column(Encrypted("invitation.phone"))
    token_hash: Mapped[str] = mapped_column(Text, unique=True)
    invited_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    open_until: Mapped[date] = mapped_column(Date)
    rated_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    kid: Mapped[str] = mapped_column(Text, server_default="")
    sms_pending: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))

    @property
    def rated(self) -> bool:
        return self.rated_at is not None

    def service(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in SERVICE}
