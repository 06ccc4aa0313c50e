"""评价邀请: the right to rate one service event, once."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import (
    Boolean,
    Date,
    DateTime,
    Index,
    Integer,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from services.ratings.model_base import OFFICE_COLUMNS, Base, Office, owns
from services.ratings.rating.model.service_event import ServiceEvent, Stage
from shared.events.ratings import RatingInvited
from shared.security.crypto import Encrypted, encrypt
from shared.security.tokens import Caller

ACCEPTANCE_NUMBER = 1
CLOSING_NUMBER = 2
"""Service numbers (办件服务次数) of a case.

A closing is 2 also where nothing was accepted, so that no order of events changes a number.
"""
VISIT_NUMBER = 1


class Invitation(ServiceEvent, Base):
    """The right to rate one service event of a case, or a visit to a window (`visit` names it).

    Without `case_id` a department's private network says that the case is its own; only the event
    of the case itself makes it so. `account_id` is the applicant's account where there is one;
    `contact_name` and `phone` are known only of cases. `token_hash` is the SHA-256 of the
    single-use token in its link, which the key `kid` signed and can sign again; `kid` is empty
    where there is no link. `sms_pending`: its message is not sent yet.
    """

    __tablename__ = "invitation"
    __table_args__ = (
        UniqueConstraint(
            "case_number", "service_number", *OFFICE_COLUMNS, name="uq_invitation_service_event"
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
    visit: Mapped[str | None] = mapped_column(Text)
    account_id: Mapped[UUID | None] = mapped_column(Uuid)
    contact_name: Mapped[str | None] = mapped_column(Encrypted("invitation.contact_name"))
    phone: Mapped[str | None] = mapped_column(Encrypted("invitation.phone"))
    token_hash: Mapped[str] = mapped_column(Text, unique=True)
    invited_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    open_until: Mapped[date] = mapped_column(Date)
    rated_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    # With key and id the token of the link can be made again, so it is not stored.
    kid: Mapped[str] = mapped_column(Text, server_default="")
    sms_pending: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))

    @property
    def rated(self) -> bool:
        return self.rated_at is not None

    def is_of(self, caller: Caller) -> bool:
        """Whether the caller is the applicant, or acts for the applicant in its matter."""
        return owns(caller, account_id=self.account_id, matter_id=self.matter_id)

    def has_phone_ending(self, digits: str) -> bool:
        """Whether the applicant's phone is known and ends in these four digits."""
        return self.phone is not None and self.phone[-4:] == digits

    @property
    def personal_words(self) -> list[str]:
        """Name and phone of the applicant, to be masked in texts."""
        return [word for word in (self.contact_name, self.phone) if word]


class Contact(NamedTuple):
    """The applicant's name and phone, in clear."""

    name: str | None = None
    phone: str | None = None


NO_CONTACT = Contact()


class InvitationRow(NamedTuple):
    """One row to insert; the names are those of the columns, `contact_name` and `phone` sealed."""

    id: UUID
    stage: str
    case_id: UUID | None
    case_number: str | None
    service_number: int
    visit: str | None
    area_code: str
    department_code: str
    matter_id: UUID | None
    matter_code: str | None
    matter_name: str | None
    hall: str | None
    window: str | None
    account_id: UUID | None
    contact_name: bytes | None
    phone: bytes | None
    token_hash: str
    kid: str
    invited_at: datetime
    open_until: date
    sms_pending: bool


def _sealed(text: str | None, column: str) -> bytes | None:
    # A bulk insert bypasses the column type, which would encrypt by itself.
    if not text:
        return None
    return encrypt(text, purpose=column)


@dataclass(frozen=True, slots=True)
class NewInvitation:
    """An invitation about to be stored; fields as in `Invitation`."""

    id: UUID
    stage: Stage
    service_number: int
    area_code: str
    department_code: str
    kid: str
    token_hash: str
    invited_at: datetime
    open_until: date
    case_id: UUID | None = None
    case_number: str | None = None
    visit: str | None = None
    matter_id: UUID | None = None
    matter_code: str | None = None
    matter_name: str | None = None
    hall: str | None = None
    window: str | None = None
    account_id: UUID | None = None
    contact: Contact = NO_CONTACT

    @property
    def office(self) -> Office:
        return Office(self.area_code, self.department_code)

    def row(self) -> InvitationRow:
        return InvitationRow(
            id=self.id,
            stage=self.stage.value,
            case_id=self.case_id,
            case_number=self.case_number,
            service_number=self.service_number,
            visit=self.visit,
            area_code=self.area_code,
            department_code=self.department_code,
            matter_id=self.matter_id,
            matter_code=self.matter_code,
            matter_name=self.matter_name,
            hall=self.hall,
            window=self.window,
            account_id=self.account_id,
            contact_name=_sealed(self.contact.name, "invitation.contact_name"),
            phone=_sealed(self.contact.phone, "invitation.phone"),
            token_hash=self.token_hash,
            kid=self.kid,
            invited_at=self.invited_at,
            open_until=self.open_until,
            sms_pending=bool(self.contact.phone),
        )

    def event(self) -> RatingInvited:
        return RatingInvited(
            subject_id=self.id,
            case_id=self.case_id,
            case_number=self.case_number,
            service_number=self.service_number,
            stage=self.stage.value,
            area_code=self.area_code,
            department_code=self.department_code,
            matter_id=self.matter_id,
            matter_code=self.matter_code,
            matter_name=self.matter_name,
            hall=self.hall,
            window=self.window,
            open_until=self.open_until,
            # The rating and its ticket carry on this sequence of revisions.
            revision=1,
            occurred_at=self.invited_at,
        )


def new_visit(
    visit_id: UUID,
    visit: str,
    *,
    office: Office,
    hall: str,
    window: str,
    kid: str,
    token_hash: str,
    invited_at: datetime,
    open_until: date,
) -> NewInvitation:
    """The invitation to rate a visit to a window; `visit` names it, once and for all."""
    return NewInvitation(
        id=visit_id,
        stage=Stage.VISIT,
        service_number=VISIT_NUMBER,
        area_code=office.area_code,
        department_code=office.department_code,
        kid=kid,
        token_hash=token_hash,
        invited_at=invited_at,
        open_until=open_until,
        visit=visit,
        hall=hall,
        window=window,
    )
