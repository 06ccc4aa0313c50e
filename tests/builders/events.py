"""Events for tests of the ground."""

from typing import Any
from uuid import UUID

from shared import clock
from shared.events.base import Event, seal, topic_of
from shared.events.identity import IdentityVerified
from shared.ids import new_id
from shared.messaging.bus import Record


def a_fact(account_id: UUID | None = None, revision: int = 1, **changes: Any) -> IdentityVerified:
    """A small fact about an account."""
    values = {"level": 2, "method": "simulator", **changes}
    return IdentityVerified(
        account_id=account_id or new_id(), revision=revision, occurred_at=clock.now(), **values
    )


def a_record(event: Event, offset: int = 0, event_id: UUID | None = None) -> Record:
    """The event as a consumer would get it."""
    _, payload = seal(event, event_id)
    return Record(topic_of(event.service), event.key, payload, 0, offset)
