"""Commands and answers about deliveries, events and what is counted of them."""

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, Field, model_validator

from services.exchange.events.model.delivery import DeliveryState
from services.exchange.events.model.external import Classification, JsonObject
from services.exchange.events.model.subscription import Mode, SubscriptionState
from services.exchange.peers.schemas import EventType, Strict
from shared.errors import InvalidValueError
from shared.fields import CLEAN

Sequence = Annotated[int, Field(ge=0, le=2**63 - 1)]


class DeliveryRead(BaseModel):
    """One event on its way to one webhook; `cause` is why the last attempt failed."""

    sequence: int
    event_id: UUID
    type: str
    key: str
    state: DeliveryState
    attempts: int
    next_attempt_at: datetime | None
    first_failed_at: datetime | None
    delivered_at: datetime | None
    last_status: int | None
    cause: str | None


class Redeliver(Strict):
    """Which events to send again: by id, by range of the log, by type or key.

    All conditions that are given must fit. `which`: dead letters only, or every event of a range,
    delivered or not (a replay).
    """

    which: Literal["dead", "all"] = "dead"
    event_ids: Annotated[list[UUID], Field(min_length=1, max_length=200)] | None = None
    from_sequence: Sequence | None = None
    to_sequence: Sequence | None = None
    event_types: Annotated[list[EventType], Field(min_length=1, max_length=200)] | None = None
    key: Annotated[str, Field(min_length=1, max_length=200), CLEAN] | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.which == "all" and self.event_ids is None and self.from_sequence is None:
            raise InvalidValueError("name the events, or from_sequence, for a replay")
        return self


class Redelivered(BaseModel):
    """`queued` events wait to be sent.

    `next` is the `from_sequence` of a further request, null when there is no more.
    """

    queued: int
    next: int | None


class ExternalEvent(BaseModel):
    """A CloudEvent in structured JSON, the same bytes by webhook and by pull."""

    specversion: str
    id: UUID
    source: str
    type: str
    subject: str
    time: datetime
    sequence: str
    data: JsonObject


class EventPage(BaseModel):
    """`next` is the `after` of the next request, also when nothing was new.

    `head` is the newest event of the log.
    """

    items: list[ExternalEvent]
    next: int
    head: int


class SchemaEntry(BaseModel):
    """A type of event, and where its JSON Schema is."""

    type: str
    service: str
    classification: Classification
    url: str
    description: str


class SchemaList(BaseModel):
    """All types of events that leave the platform."""

    items: list[SchemaEntry]


class TypeStatistic(BaseModel):
    """What became of the events of one type for one peer.

    Failed attempts count by their cause.
    """

    peer_code: str
    type: str
    sent: int
    acknowledged: int
    rejected: dict[str, int]


class SubscriptionStatistic(BaseModel):
    """`lag`: how many events the log has beyond what this subscription has surely got."""

    subscription_id: UUID
    peer_code: str
    name: str
    mode: Mode
    state: SubscriptionState
    in_flight: int
    failing: int
    dead: int
    lag: int
    failing_since: datetime | None


class StatisticsRead(BaseModel):
    """What became of all events, by type and by subscription."""

    head: int
    types: list[TypeStatistic]
    subscriptions: list[SubscriptionStatistic]
