"""Commands and answers of invitations, visits, codes of windows, and batches of tokens."""

from datetime import date, datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from services.ratings.rating.model.service_event import Stage
from services.ratings.schema_base import Area, Department, Place, Strict


class InvitationRead(BaseModel):
    """An invitation, for the applicant and the clerks of its department.

    They do not learn when it was used.
    """

    model_config = ConfigDict(from_attributes=True)

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
    model_config = ConfigDict(from_attributes=True)

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


class Jwk(BaseModel):
    """A public Ed25519 key (RFC 8037), in the order of its stored members."""

    x: str
    alg: Literal["EdDSA"]
    crv: Literal["Ed25519"]
    kid: str
    kty: Literal["OKP"]
    use: Literal["sig"]


class JwkSet(BaseModel):
    keys: list[Jwk]


class SentMessage(BaseModel):
    """What the development sender sent."""

    sent_at: datetime
    text: str
