"""Invitations, visits, codes of windows, batches of tokens."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from services.ratings.rating.schemas import GradeRead
from services.ratings.schema_base import Area, Department, Place, Strict
from shared.events.ratings import Stage


class TicketShown(BaseModel):
    """The ticket of the bad rating that was given by this token: its outcome is read, and judged, by the same token."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    state: str


class InvitationShown(BaseModel):
    """What may be rated, for whoever holds its token. `rating_token` is what a window's code was exchanged for."""

    stage: Stage
    service_number: int
    area_code: str
    department_code: str
    matter_code: str | None
    matter_name: str | None
    hall: str | None
    window: str | None
    open_until: date
    rated: bool
    ticket: TicketShown | None = None
    default_grade: int | None = None
    """默认评价 of what nobody rated in time, where a city has turned it on; counted in no rate."""
    rating_token: str | None = None
    dictionary: str
    grades: list[GradeRead]
    contents: dict[str, str]


class InvitationRead(BaseModel):
    """An invitation, for the applicant and the clerks of its department, who do not learn when it was used."""

    id: UUID
    stage: Stage
    case_number: str | None
    service_number: int
    matter_name: str | None
    hall: str | None
    window: str | None
    invited_at: datetime
    open_until: date
    rated: bool


class InviteVisit(Strict):
    """A visit to a window without a case, named by its queue number (排队号)."""

    hall: Place
    window: Place
    queue_number: Place
    day: date


class VisitInvited(BaseModel):
    """The invitation and its link; its QR is at `invitation-codes/{id}`."""

    id: UUID
    link: str
    open_until: date


class WindowCode(BaseModel):
    """A window's code of the moment: `link` as QR (`svg`); show the next from `valid_until` on."""

    code: str
    link: str
    svg: str
    valid_until: datetime


class OrderBatch(Strict):
    """Tokens for a window of a private network, for printing ahead."""

    area_code: Area
    department_code: Department
    hall: Place
    window: Place
    size: int = Field(ge=1, le=1000)
    expires_on: date


class BatchRead(BaseModel):
    id: UUID
    area_code: str
    department_code: str
    hall: str
    window: str
    size: int
    expires_on: date
    ordered_at: datetime
    downloaded_at: datetime | None


class BatchToken(BaseModel):
    number: int
    token: str
    link: str


class BatchTokens(BaseModel):
    """All tokens of a batch, given out once."""

    id: UUID
    expires_on: date
    tokens: list[BatchToken]


class JwkSet(BaseModel):
    keys: list[dict[str, Any]]


class SentMessage(BaseModel):
    """What the development sender sent."""

    sent_at: datetime
    text: str
