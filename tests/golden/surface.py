"""The only place of the golden tests that imports code under test.

Everything else goes over HTTP, reads tables in SQL, or takes events as bytes. When modules move, only the imports
here change.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from shared import clock
from shared.bus import Record
from shared.context import Context, using
from shared.inbox import Inbox

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


async def deliver(service: str, database: Any, events: Sequence[Sent]) -> None:
    """Give the events to the service's consumer, all in one batch, as its worker would."""
    consumer = import_module(f"services.{service}.consumer").consumer
    records = [Record(event.topic, event.key, event.payload, 0, offset) for offset, event in enumerate(events)]
    await Inbox(database, None, consumer).take(records)  # type: ignore[arg-type]


async def run_timer(service: str, name: str, database: Any, settings: Any, now: datetime) -> None:
    """Run one timer of the service's worker once, as if it were `now`."""
    timers = import_module(f"services.{service}.worker").timers(settings)
    (timer,) = [timer for timer in timers if timer.name == name]
    with using(Context(actor=f"timer:{service}.{name}")):
        _ = await timer.work(database, now)
