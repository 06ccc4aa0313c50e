"""Metrics of the gateway: one look-up and one `observe` for each answer (about 2 µs)."""

from functools import lru_cache

from prometheus_client import Counter, Gauge, Histogram

ANSWERS = Histogram(
    "tongban_gateway_request_seconds",
    "Time from the request's head to the end of its answer, by service and status"
    " (499: the caller left)",
    ["service", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 35),
)
IN_FLIGHT = Gauge("tongban_gateway_in_flight", "Requests being answered")
RETRIES = Counter(
    "tongban_gateway_retries_total", "Reads repeated after a broken connection", ["service"]
)

LEFT_OUT = Gauge(
    "tongban_gateway_replicas_left_out",
    "Addresses of a service that get no requests: they refuse, or are not ready",
    ["service"],
)


@lru_cache(maxsize=1024)
def _answers(service: str, status: int) -> Histogram:
    return ANSWERS.labels(service, status)


def observe(service: str, status: int, *, seconds: float) -> None:
    _answers(service, status).observe(seconds)
