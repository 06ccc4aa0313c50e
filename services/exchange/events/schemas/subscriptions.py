"""Commands and answers about subscriptions (订阅)."""

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, Field, model_validator

from services.exchange.events.model.subscription import Mode, SubscriptionState
from services.exchange.peers.schemas import AreaCode, DepartmentCode, EventType, Strict
from shared.errors import InvalidValueError
from shared.fields import CLEAN, Line, Reason

MatterCode = Annotated[str, Field(min_length=1, max_length=80), CLEAN]
Endpoint = Annotated[str, Field(min_length=8, max_length=500), CLEAN]


class Filters(Strict):
    """An empty list takes all (of areas: all of the peer's own).

    An event goes out when every list that is not empty has it.
    """

    area_codes: list[AreaCode] = Field(default=[], max_length=100)
    department_codes: list[DepartmentCode] = Field(default=[], max_length=100)
    matter_codes: list[MatterCode] = Field(default=[], max_length=200)


class ChangeSubscription(Strict):
    """Another `endpoint` must answer its handshake (activation) before events go to it."""

    name: Line
    event_types: Annotated[list[EventType], Field(min_length=1, max_length=200)]
    filters: Filters = Filters()
    endpoint: Endpoint | None = None
    sign_ed25519: bool = False
    """Sign also with the platform's own key (`v1a`), which a subscriber cannot forge."""


class NewSubscription(ChangeSubscription):
    """`after` is the place in the log to begin behind.

    0 replays all that is kept, null begins with the next event.
    """

    mode: Literal["webhook", "pull"]
    after: Annotated[int, Field(ge=0, le=2**63 - 1)] | None = None

    @model_validator(mode="after")
    def _endpoint_fits(self) -> Self:
        is_webhook = Mode(self.mode) is Mode.WEBHOOK
        if is_webhook != (self.endpoint is not None):
            raise InvalidValueError("a webhook needs an endpoint, and pull has none")
        return self


class EndSubscription(Strict):
    """Why it is suspended or ended."""

    reason: Reason


class FiltersRead(BaseModel):
    """The filters of a subscription; an empty list takes all."""

    area_codes: list[str]
    department_codes: list[str]
    matter_codes: list[str]


class SubscriptionRead(BaseModel):
    """`cursor`: up to here in the log events were looked through (webhook) or handed out (pull)."""

    id: UUID
    revision: int
    peer_id: UUID
    name: str
    mode: Mode
    state: SubscriptionState
    event_types: list[str]
    filters: FiltersRead
    endpoint: str | None
    sign_ed25519: bool
    cursor: int
    failing_since: datetime | None
    reason: str | None
    created_at: datetime


class SecretShown(SubscriptionRead):
    """With the secret, shown this once; null under pull."""

    secret: str | None


class WebhookKeys(BaseModel):
    """The platform's public keys by which `v1a` signatures are verified, as `whpk_…`."""

    keys: list[str]
