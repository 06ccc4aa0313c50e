"""Limits of the gateway: token buckets in bounded memory, retry budget, circuit breaker per service. Time is passed in."""

from collections import OrderedDict
from typing import NamedTuple

from gateway.routes import Route
from gateway.settings import Settings
from shared.security.tokens import Caller

MAX_BUCKETS = 100_000
SAVED_RETRIES = 10.0


class Verdict(NamedTuple):
    """Whether a request may go on, how many more may, when the next may and when all may again (seconds)."""

    allowed: bool
    limit: int
    remaining: int
    wait: float
    full_in: float

    def headers(self) -> list[tuple[bytes, bytes]]:
        return [
            (b"ratelimit-limit", b"%d" % self.limit),
            (b"ratelimit-remaining", b"%d" % self.remaining),
            (b"ratelimit-reset", b"%d" % (int(self.full_in) + 1)),
        ]


class Buckets:
    """A token bucket per key: `burst` at once, `rate` a second after. The longest unused are forgotten."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, now: float) -> Verdict:
        level, at = self._levels.pop(key, (float(self._burst), now))
        level = min(self._burst, level + (now - at) * self._rate)
        allowed = level >= 1
        level -= allowed
        self._levels[key] = (level, now)
        if len(self._levels) > MAX_BUCKETS:
            _ = self._levels.popitem(last=False)
        wait = 0.0 if allowed else (1 - level) / self._rate
        return Verdict(allowed, self._burst, int(level), wait, (self._burst - level) / self._rate)


class Places:
    """Requests in flight, in all and by address; an address without any is forgotten."""

    def __init__(self) -> None:
        self.taken = 0
        self._by_address: dict[str, int] = {}

    def take(self, address: str) -> int:
        """Take one more; how many this address has now."""
        self.taken += 1
        own = self._by_address[address] = self._by_address.get(address, 0) + 1
        return own

    def leave(self, address: str) -> None:
        self.taken -= 1
        left = self._by_address.pop(address) - 1
        if left:
            self._by_address[address] = left


class Limits:
    """Who may ask how often: a bucket per address, account or client, and one more for a route with a rate of its own."""

    def __init__(self, settings: Settings) -> None:
        self._addresses = Buckets(settings.rate_per_address, settings.burst)
        self._accounts = Buckets(settings.rate_per_caller, settings.burst)
        self._clients = Buckets(settings.rate_per_client, settings.burst)
        self._routes = {name: Buckets(*rate) for name, rate in settings.route_rates.items()}

    def take(self, route: Route, caller: Caller | None, address: str, now: float) -> Verdict:
        """The verdict of the tightest limit. Who acts for another has the limit of one's own."""
        if caller is None:
            key, verdict = address, self._addresses.take(address, now)
        elif caller.kind == "system":
            key, verdict = caller.subject, self._clients.take(caller.subject, now)
        else:
            key = caller.act or caller.subject
            verdict = self._accounts.take(key, now)
        own = self._routes.get(route.rate) if verdict.allowed else None  # pyright: ignore[reportArgumentType, reportCallIssue]
        if own is None:
            return verdict
        return min(own.take(key, now), verdict, key=lambda one: (one.allowed, one.remaining))

    def take_refused(self, address: str, now: float) -> Verdict:
        """A token that does not hold counts against the address it came from."""
        return self._addresses.take(address, now)


class RetryBudget:
    """Every request earns a share of one retry; so a service in trouble never gets much more than its load."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._saved = SAVED_RETRIES if share else 0.0

    def earn(self) -> None:
        self._saved = min(self._saved + self._share, SAVED_RETRIES)

    def spend(self) -> bool:
        """Whether one retry may be made now."""
        if self._saved < 1:
            return False
        self._saved -= 1
        return True


class Breaker:
    """Opens after `failures` in a row; lets one request through after `seconds`, closes when it succeeds."""

    def __init__(self, failures: int, seconds: float) -> None:
        self._limit = failures
        self._seconds = seconds
        self._failures = 0
        self._open_until = 0.0

    @property
    def closed(self) -> bool:
        return self._failures < self._limit

    def wait(self, now: float) -> float:
        """Seconds until a request may be tried; 0 when it may now (then others wait for its outcome)."""
        if self.closed:
            return 0.0
        if now < self._open_until:
            return self._open_until - now
        self._open_until = now + self._seconds
        return 0.0

    def succeeded(self) -> None:
        self._failures = 0

    def failed(self, now: float) -> None:
        self._failures += 1
        self._open_until = now + self._seconds
