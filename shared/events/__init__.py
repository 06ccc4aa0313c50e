"""The facts that services publish: frozen, versioned types, the only types two services share."""

from shared.events.base import Envelope, Event, event_type, parse_envelope, registered_events

__all__ = ["Envelope", "Event", "event_type", "parse_envelope", "registered_events"]
