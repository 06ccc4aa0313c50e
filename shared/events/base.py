"""Events and their envelope: CloudEvents 1.0, structured JSON, the same bytes on every bus."""

from datetime import datetime
from typing import Any, ClassVar, NamedTuple, Self
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, PrivateAttr

from shared import clock, context
from shared.ids import new_id

MAX_EVENT_BYTES = 900_000
"""Below Kafka's default message limit of 1 MiB, headers included."""

_registry: dict[str, type["Event"]] = {}


class Event(BaseModel):
    """A fact in the past tense about one aggregate.

    A service declares a base with `service="cases"`, an event with `fact="case-accepted"`; its type
    on the wire is `tongban.cases.case-accepted.v1`. Consumers ignore fields that they do not know.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    service: ClassVar[str] = ""
    wire_type: ClassVar[str] = ""

    revision: int
    """Version of the aggregate after this event; rises by one with each change."""
    occurred_at: datetime
    """When it happened, with offset."""

    _event_number: int = PrivateAttr(default=0)

    def __init_subclass__(
        cls, *, service: str = "", fact: str = "", version: int = 1, **kwargs: Any
    ) -> None:
        super().__init_subclass__(**kwargs)
        if service:
            cls.service = service
        if fact:
            cls.wire_type = event_type(cls.service, fact=fact, version=version)
            _registry[cls.wire_type] = cls

    @property
    def event_number(self) -> int:
        """Number of the event among those of its key; no two share one, as they share a revision.

        Of an event that was not received yet, or came without a number: its revision.
        """
        return self._event_number or self.revision

    def numbered(self, event_number: int) -> Self:
        """The event as it was received under this number; 0 when it came without one."""
        self._event_number = event_number
        return self

    @property
    def key(self) -> str:
        """The id of the aggregate: events about one aggregate keep their order."""
        raise NotImplementedError(f"{type(self).__name__} names no aggregate")


def event_type(service: str, *, fact: str, version: int = 1) -> str:
    return f"tongban.{service}.{fact}.v{version}"


def topic_of(service: str) -> str:
    """One topic per service, so that all events about an aggregate keep their order."""
    return f"tongban.{service}"


def registered_events(service: str | None = None) -> dict[str, type[Event]]:
    """All known event types by their name on the wire, of one service or of all."""
    return {
        name: kind for name, kind in _registry.items() if service is None or kind.service == service
    }


class Envelope(NamedTuple):
    """The parts of a received CloudEvent that the platform needs; `data` is parsed JSON."""

    id: UUID
    type: str
    key: str
    revision: int
    causation: str | None
    correlation: str
    traceparent: str
    actor: str
    data: dict[str, Any]
    recorded: str = ""
    """When the producer wrote it (RFC 3339); `data` says when it happened."""
    event_number: int = 0
    """Number of the event among those of its key; 0 when it came without one."""

    @property
    def entity_version(self) -> int:
        """The event number; of an event without one, the revision."""
        return self.event_number or self.revision

    def event(self) -> Event | None:
        """The typed event, or None when this code does not know the type."""
        kind = _registry.get(self.type)
        if kind is None:
            return None
        return kind.model_validate(self.data).numbered(self.event_number)


class NotAnEventError(ValueError):
    """Bytes that are no CloudEvent of this platform; `field` is what they lack, if it is known."""

    def __init__(self, field: str | None) -> None:
        super().__init__(f"not a CloudEvent of this platform: {field}")
        self.field = field


def seal(event: Event, event_id: UUID | None = None) -> tuple[UUID, bytes]:
    """The event's id and its CloudEvents bytes. The id is made here and never changes again."""
    identifier = event_id or new_id()
    about = context.current()
    document = {
        "specversion": "1.0",
        "id": str(identifier),
        "source": f"/tongban/{event.service}",
        "type": event.wire_type,
        "subject": event.key,
        "time": event.occurred_at.isoformat(),
        "recordedtime": clock.now().isoformat(),
        "datacontenttype": "application/json",
        "partitionkey": event.key,
        "entityversion": str(event.revision),
        "correlationid": about.request_id or str(identifier),
        "actor": about.actor,
        "data": orjson.Fragment(event.model_dump_json()),
    }
    if about.on_behalf_of:
        document["onbehalfof"] = about.on_behalf_of
    if about.causation:
        document["causationid"] = about.causation
    if about.traceparent:
        document["traceparent"] = about.traceparent
    payload = orjson.dumps(document)
    if len(payload) > MAX_EVENT_BYTES:
        raise ValueError(
            f"event {event.wire_type} of {event.key} has {len(payload)} bytes,"
            f" at most {MAX_EVENT_BYTES}"
        )
    return identifier, payload


def parse_envelope(payload: bytes) -> Envelope:
    """Read CloudEvents bytes.

    Raises:
        ValueError: they are no CloudEvent of this platform.
    """
    document: Any = orjson.loads(payload)
    try:
        return Envelope(
            id=UUID(document["id"]),
            type=document["type"],
            key=document["partitionkey"],
            revision=int(document["entityversion"]),
            causation=document.get("causationid"),
            correlation=document.get("correlationid", ""),
            traceparent=document.get("traceparent", ""),
            actor=document.get("actor", "system"),
            data=document["data"],
            recorded=document.get("recordedtime", ""),
        )
    except KeyError as error:
        raise NotAnEventError(str(error.args[0])) from error
    except (TypeError, AttributeError) as error:
        raise NotAnEventError(None) from error
