"""Prometheus metrics that every process has in common.

What is measured in the database or at the bus (`Measured`) has no value while it cannot be read:
an old one would look like a good one.
"""

import platform
from collections.abc import Iterable

from prometheus_client import Counter, Gauge, Histogram, Info

from shared.build import VERSION

REQUESTS = Histogram(
    "tongban_http_request_seconds",
    "Time to answer, by service, method, route and status",
    ["service", "method", "route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
CONSUMED = Counter("tongban_events_consumed_total", "Events taken from the bus", ["service"])
PARKED = Counter("tongban_events_parked_total", "Events set aside as dead letters", ["service"])
IGNORED = Counter(
    "tongban_events_ignored_total",
    "Events of types that the service does not listen to",
    ["service", "type"],
)
MISSING_FACTS = Gauge(
    "tongban_facts_missing",
    "1 where a partition waits for facts that did not come",
    ["service", "topic", "partition"],
)
TOPIC_REPLICAS_MISSING = Gauge(
    "tongban_topic_replicas_missing",
    "Copies of a topic's partitions that are not there or not in step with their leader",
    ["service", "topic"],
)
TOPIC_BELOW_MINIMUM = Gauge(
    "tongban_topic_partitions_below_minimum",
    "Partitions with fewer copies in step than a write needs; they take no facts",
    ["service", "topic"],
)
TOPIC_MINIMUM_TOO_LOW = Gauge(
    "tongban_topic_minimum_too_low",
    "1 where a topic acknowledges writes with fewer copies than the settings ask for",
    ["service", "topic"],
)
STORAGE_REFUSALS = Counter(
    "tongban_storage_refusals_total", "Files that were refused because the storage is full"
)
BUILD = Info("tongban_build", "Version of the code, and of Python, that runs here")
BUILD.info({"version": VERSION, "python": platform.python_version()})


class Measured:
    """A gauge of one service whose values are all read again at each measurement.

    `labels` are those besides `service`.
    """

    def __init__(self, name: str, text: str, *, labels: Iterable[str] = ()) -> None:
        self._gauge = Gauge(name, text, ["service", *labels])
        self._known: dict[str, set[tuple[str, ...]]] = {}

    def set(self, service: str, values: dict[tuple[str, ...], float]) -> None:
        """Replace the values of a service, by their labels; those that are not given vanish."""
        for labels in self._known.get(service, set()) - set(values):
            self._gauge.remove(service, *labels)
        for labels, value in values.items():
            self._gauge.labels(service, *labels).set(value)
        self._known[service] = set(values)

    def set_one(self, service: str, value: float | None) -> None:
        """The value of a gauge without further labels; None when it cannot be read."""
        values: dict[tuple[str, ...], float] = {}
        if value is not None:
            values[()] = value
        self.set(service, values)


READY = Measured(
    "tongban_ready", "1 where the process has what it needs, by check", labels=["check"]
)
OUTBOX_WAITING = Measured(
    "tongban_outbox_waiting", "Facts that are not known to be on the bus (100000: or more)"
)
OUTBOX_AGE = Measured(
    "tongban_outbox_age_seconds", "Age of the oldest fact that is not known to be on the bus"
)
DEAD_LETTERS = Measured("tongban_dead_letters", "Events set aside (100000: or more)")
DEAD_LETTERS_GIVEN_UP = Measured(
    "tongban_dead_letters_given_up", "Events set aside that wait for a person"
)
LAG_FACTS = Measured(
    "tongban_consumer_lag_facts", "Records of a topic that were not taken yet", labels=["topic"]
)
LAG_SECONDS = Measured(
    "tongban_consumer_lag_seconds",
    "Age of the oldest record of a topic that was not taken yet",
    labels=["topic"],
)
CLOCK_SKEW = Measured(
    "tongban_clock_skew_seconds", "The clock of this process less that of its database"
)
POOL_IN_USE = Measured("tongban_pool_connections_in_use", "Database connections in use")
POOL_SIZE = Measured("tongban_pool_connections_limit", "Most database connections at a time")
KEYS = Measured(
    "tongban_key_info",
    "1 for each key, with a check value by which equal keys are known",
    labels=["key", "check"],
)
DISK_FREE = Measured(
    "tongban_storage_free_bytes", "Bytes that the disk of the uploads has left", labels=["disk"]
)
DISK_SIZE = Measured(
    "tongban_storage_size_bytes", "Bytes of the disk of the uploads", labels=["disk"]
)
DISK_FULL = Measured(
    "tongban_storage_full",
    "1 when the disk of the uploads has refused a file in the last ten minutes, and taken none",
    labels=["disk"],
)
CERTIFICATE_EXPIRY = Measured(
    "tongban_certificate_expiry_timestamp_seconds",
    "When a certificate ends, by the setting that names it",
    labels=["setting"],
)


def set_certificates(service: str, ends: dict[str, float]) -> None:
    """Tell when certificates end, in seconds since 1970, by the setting that names them."""
    CERTIFICATE_EXPIRY.set(service, {(setting,): end for setting, end in ends.items()})
