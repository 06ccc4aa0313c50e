"""Limits of the gateway: token buckets, requests in flight, retry budget, circuit breaker.

All of them live in bounded memory, and the time is passed in (seconds of a monotonic clock).
"""

from collections import OrderedDict
from typing import NamedTuple

from gateway.problems import Headers
from gateway.routes import Route
from gateway.settings import Settings
from shared.security.tokens import Caller, CallerKind

MAX_BUCKETS = 100_000
MAX_SAVED_RETRIES = 10.0


class Verdict(NamedTuple):
    """Whether a request may go on; `wait` and `full_in` are seconds."""

    allowed: bool
    limit: int
    remaining: int
    wait: float
    """Until the next request may be made."""
    full_in: float
    """Until the whole limit is available again."""

    def headers(self) -> Headers:
        return [
            (b"ratelimit-limit", b"%d" % self.limit),
            (b"ratelimit-remaining", b"%d" % self.remaining),
            (b"ratelimit-reset", b"%d" % (int(self.full_in) + 1)),
        ]


class Buckets:
    """A token bucket for each key: `burst` requests at once, then `rate` a second.

    At most `MAX_BUCKETS` are kept; the longest unused one is forgotten first.
    """

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        # An OrderedDict and no cachetools cache: this runs on every request, and costs a fifth.
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, now: float) -> Verdict:
        """Count a request of `key`."""
        level, at = self._levels.pop(key, (float(self._burst), now))
        level = min(self._burst, level + (now - at) * self._rate)
        allowed = level >= 1
        wait = 0.0
        if allowed:
            level -= 1
        else:
            wait = (1 - level) / self._rate
        self._levels[key] = (level, now)
        if len(self._levels) > MAX_BUCKETS:
            _ = self._levels.popitem(last=False)
        full_in = (self._burst - level) / self._rate
        return Verdict(allowed, self._burst, int(level), wait, full_in)


class ConcurrencyLimit:
    """Counts requests in flight, in all and by address; an address without any is forgotten."""

    def __init__(self) -> None:
        self.in_flight = 0
        self._by_address: dict[str, int] = {}

    def enter(self, address: str) -> int:
        """Count one more request; the number that this address has now."""
        self.in_flight += 1
        own = self._by_address.get(address, 0) + 1
        self._by_address[address] = own
        return own

    def leave(self, address: str) -> None:
        """Count one request less."""
        self.in_flight -= 1
        left = self._by_address.pop(address) - 1
        if left:
            self._by_address[address] = left


class Limits:
    """How often each caller may ask: a bucket by address, account or client, and one by route."""

    def __init__(self, settings: Settings) -> None:
        self._addresses = Buckets(settings.rate_per_address, settings.burst)
        self._accounts = Buckets(settings.rate_per_caller, settings.burst)
        self._clients = Buckets(settings.rate_per_client, settings.burst)
        self._routes: dict[str, Buckets] = {}
        for name, rate in settings.route_rates.items():
            self._routes[name] = Buckets(*rate)

    def take(self, route: Route, *, caller: Caller | None, address: str, now: float) -> Verdict:
        """The verdict of the tightest limit. Whoever acts for another uses the limit of her own."""
        if caller is None:
            key = address
            verdict = self._addresses.take(key, now)
        elif caller.kind is CallerKind.SYSTEM:
            key = caller.subject
            verdict = self._clients.take(key, now)
        else:
            key = caller.act or caller.subject
            verdict = self._accounts.take(key, now)
        if not verdict.allowed or route.rate not in self._routes:
            return verdict
        of_route = self._routes[route.rate].take(key, now)
        # The headers tell the limit that ends first.
        return min(of_route, verdict, key=lambda one: (one.allowed, one.remaining))

    def take_refused(self, address: str, now: float) -> Verdict:
        """Count a token that is not valid against the address it came from."""
        return self._addresses.take(address, now)


class RetryBudget:
    """Each request earns a share of one retry, so that a failing service gets little extra load."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._saved = MAX_SAVED_RETRIES if share else 0.0

    def earn(self) -> None:
        """Count a request."""
        self._saved = min(self._saved + self._share, MAX_SAVED_RETRIES)

    def spend(self) -> bool:
        """Whether one retry may be made now; it is counted."""
        if self._saved < 1:
            return False
        self._saved -= 1
        return True


class Breaker:
    """A circuit breaker: opens after `failures` in a row, for `seconds`.

    Then one request is let through; the circuit closes when it succeeds.
    """

    def __init__(self, failures: int, seconds: float) -> None:
        self._limit = failures
        self._seconds = seconds
        self._failures = 0
        self._open_until = 0.0

    @property
    def closed(self) -> bool:
        return self._failures < self._limit

    def wait(self, now: float) -> float:
        """Seconds until a request may be tried; 0 when it may now (others then wait for it)."""
        if self.closed:
            return 0.0
        if now < self._open_until:
            return self._open_until - now
        # This request is the probe; the others wait as if the circuit had opened anew.
        self._open_until = now + self._seconds
        return 0.0

    def succeeded(self) -> None:
        self._failures = 0

    def failed(self, now: float) -> None:
        self._failures += 1
        self._open_until = now + self._seconds
