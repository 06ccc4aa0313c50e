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
OUTBOX_WAITING = Gauge("tongban_outbox_waiting", "Events not yet on the bus", ["service"])
DEAD_LETTERS = Gauge("tongban_dead_letters", "Events set aside", ["service"])
