"""Limits of the gateway: token buckets in bounded memory, circuit breaker per service. Time is passed in."""

from collections import OrderedDict
from dataclasses import dataclass

MAX_BUCKETS = 100_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request may go on, how many more may, and when the next may (seconds)."""

    allowed: bool
    limit: int
    remaining: int
    wait: float


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
        return Verdict(allowed, self._burst, int(level), 0.0 if allowed else (1 - level) / self._rate)


class Breaker:
    """Opens after `failures` in a row; lets one request through after `seconds`, closes when it succeeds."""

    def __init__(self, failures: int, seconds: float) -> None:
        self._limit = failures
        self._seconds = seconds
        self._failures = 0
        self._open_until = 0.0

    def wait(self, now: float) -> float:
        """Seconds until a request may be tried; 0 when it may now (then others wait for its outcome)."""
        if self._failures < self._limit:
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
