"""The only place of the golden tests that imports code under test.

Everything else goes over HTTP, reads tables in SQL, or takes events as bytes. When modules move,
only the imports here change.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import httpx
import pytest

from services.exchange.events.timers import Sender
from shared import clock
from shared.context import Context, using
from shared.database.audit import Sealer
from shared.messaging.bus import Record
from shared.messaging.inbox import Inbox
from shared.runtime.http_client import Endpoints

CITY_ZONE = ZoneInfo("Asia/Shanghai")


@dataclass(frozen=True, slots=True)
class Sent:
    """An event as it stands in an outbox."""

    topic: str
    key: str
    payload: bytes


class FixedClock:
    """The system clock of the code under test: stands still until the scenario moves it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, start: str) -> None:
        self._now = moment(start)
        monkeypatch.setattr(clock, "now", lambda: self._now)

    def move(self, to: str) -> None:
        self._now = moment(to)

    def wait(self, minutes: int) -> None:
        self._now += timedelta(minutes=minutes)

    @property
    def now(self) -> datetime:
        return self._now


def moment(text: str) -> datetime:
    """`2026-03-10T09:30` in the city, as the code sees it: aware, in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=CITY_ZONE).astimezone(UTC)


async def deliver(service: str, database: Any, *, events: Sequence[Sent]) -> None:
    """Give the events to the service's consumer, all in one batch, as its worker would."""
    consumer = import_module(f"services.{service}.consumer").consumer
    records = [
        Record(event.topic, event.key, event.payload, 0, offset)
        for offset, event in enumerate(events)
    ]
    no_bus: Any = None  # the events are handed over here, so none is polled
    await Inbox(database, no_bus, consumer=consumer).take(records)


@dataclass
class Timers:
    """The timers of a service's worker by name, and the HTTP clients that were opened with them."""

    by_name: dict[str, Any]
    clients: list[httpx.AsyncClient]

    async def close(self) -> None:
        for client in self.clients:
            await client.aclose()


def timers_of(service: str, settings: Any) -> Timers:
    """The timers of a service's worker. What HTTP clients they open is kept to be closed here."""
    clients: list[httpx.AsyncClient] = []
    original = httpx.AsyncClient.__init__

    def caught(self: httpx.AsyncClient, *arguments: Any, **named: Any) -> None:
        clients.append(self)
        original(self, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpx.AsyncClient, "__init__", caught)
        timers = import_module(f"services.{service}.worker").timers(settings)
    return Timers({timer.name: timer for timer in timers}, clients)


async def run_timer(service: str, timer: Any, *, database: Any, now: datetime) -> None:
    """Run a timer once, as if it were `now`."""
    with using(Context(actor=f"timer:{service}.{timer.name}")):
        _ = await timer.work(database, now)


class Webhooks:
    """The worker's sender of webhooks by the clock of the scenario."""

    def __init__(self, settings: Any, clock: FixedClock) -> None:
        self._endpoints = Endpoints(timeout=5.0)
        self._sender = Sender(settings, self._endpoints, now=lambda: clock.now)
        self._clock = clock

    async def send(self, database: Any) -> None:
        """Everything that is due goes out."""
        with using(Context(actor="timer:exchange.deliveries")):
            _ = await self._sender.run(database, self._clock.now)

    async def close(self) -> None:
        await self._endpoints.close()


async def seal_audit(database: Any, connection: asyncpg.Connection) -> None:
    """Link the rows that wait into the chain of hashes."""
    _ = await Sealer(database).seal_batch(connection)
