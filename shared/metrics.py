"""Prometheus metrics that every process has in common."""

from prometheus_client import Counter, Gauge, Histogram

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
OUTBOX_WAITING = Gauge("tongban_outbox_waiting", "Events not yet on the bus", ["service"])
DEAD_LETTERS = Gauge("tongban_dead_letters", "Events set aside", ["service"])
