"""Measures one process of a service: for its metrics, and for the operator's view of it.

Everything is measured when it is asked for, each part with a time-out of its own, so that a
database or bus that is away or frozen costs seconds and hides nothing else. What cannot be read has
no value.
"""

import asyncio
import base64
import time
from collections.abc import Awaitable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar

import structlog
from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from sqlalchemy import text
from sqlalchemy.pool import QueuePool

from shared import clock, metrics
from shared.database.session import Database
from shared.events.base import parse_envelope
from shared.messaging.bus import Bus, Place, Record
from shared.runtime import status
from shared.runtime.readiness import readiness
from shared.runtime.storage import Storage
from shared.security.crypto import derived_key
from shared.settings import ServiceSettings

T = TypeVar("T")

PROBE_SECONDS = 3.0
"""How long each part of a measurement may take."""
COPIES_MISSING = ["tongban_topic_replicas_missing"]
COPIES_BELOW_MINIMUM = [
    "tongban_topic_partitions_below_minimum",
    "tongban_topic_minimum_too_low",
]
"""Metrics that the worker of a service sets about its own topic."""
COUNTED = 100_000
"""Rows that are counted at most: a backlog must not make the measurement slow."""
STATE = text(
    "SELECT clock_timestamp() AS at,"
    f" (SELECT count(*) FROM (SELECT FROM outbox LIMIT {COUNTED}) o) AS waiting,"
    " (SELECT recorded_at FROM outbox ORDER BY position LIMIT 1) AS waiting_since,"
    " (SELECT coalesce(sum(CASE WHEN p.epoch = p.sent_epoch THEN p.number - p.sent"
    "   ELSE p.number END), 0) FROM relay_position p"
    "   WHERE (p.sent_epoch, p.sent) < (p.epoch, p.number)) AS unsent,"
    " (SELECT min(f.recorded_at) FROM relay_position p CROSS JOIN LATERAL ("
    "   SELECT recorded_at FROM fact_log l WHERE l.topic = p.topic AND l.partition = p.partition"
    "   AND (l.epoch, l.number) > (p.sent_epoch, p.sent)"
    "   ORDER BY l.epoch, l.number LIMIT 1) f"
    "   WHERE (p.sent_epoch, p.sent) < (p.epoch, p.number)) AS unsent_since,"
    f" (SELECT count(*) FROM (SELECT FROM dead_letter LIMIT {COUNTED}) d) AS dead,"
    f" (SELECT count(*) FROM (SELECT FROM dead_letter WHERE gave_up LIMIT {COUNTED}) d)"
    "  AS given_up,"
    " (SELECT refused FROM relay_state) AS refused"
)
"""What is numbered and not sent waits as well: it has left the outbox and is not on the bus."""
CONNECT = text("SELECT 1")
TAKEN = text("SELECT topic, partition, next_offset FROM inbox_position")

DATABASE_GAUGES = (
    (metrics.OUTBOX_WAITING, "outbox_facts"),
    (metrics.OUTBOX_AGE, "outbox_age_seconds"),
    (metrics.DEAD_LETTERS, "dead_letters"),
    (metrics.DEAD_LETTERS_GIVEN_UP, "dead_letters_given_up"),
    (metrics.CLOCK_SKEW, "clock_skew_seconds"),
)
"""Gauges and the fields of `DatabaseState` that they show."""

log = structlog.get_logger(__name__)


class Monitor:
    """Measures the process `process` (`cases-api`, `cases-worker`)."""

    def __init__(
        self,
        process: str,
        service: str,
        *,
        settings: ServiceSettings,
        database: Database,
        bus: Bus | None,
    ) -> None:
        self.process = process
        self.service = service
        self.bus = bus
        self.storage: Storage | None = None
        """Where the process keeps files, if it does."""
        self._database = database
        self._keys = _check_values(settings)
        self._certificates = status.Certificates(settings)

    async def measure(self) -> status.Status:
        """The state of this process now; its metrics are set to it."""
        checks, state, lag, certificates = await asyncio.gather(
            self._checks(),
            self._within("database", self._state()),
            self._within("lag", self._lag()),
            self._within("certificates", self._certificates.read(), seconds=PROBE_SECONDS + 1),
        )
        found = status.Status(
            process=self.process,
            service=self.service,
            now=clock.now(),
            started_at=status.STARTED_AT,
            checks=checks,
            keys=self._keys,
            database=state,
            lag=lag,
            pool=self._pool(),
            disks=_disks(self.storage),
            certificates=certificates or [],
            copies_missing=_sum_of(COPIES_MISSING),
            copies_below_minimum=_sum_of(COPIES_BELOW_MINIMUM),
        )
        set_metrics(found)
        return found

    async def _within(
        self, part: str, work: Awaitable[T], *, seconds: float = PROBE_SECONDS
    ) -> T | None:
        try:
            async with asyncio.timeout(seconds):
                return await work
        except Exception as error:  # whatever it is, the other parts are told
            log.warning("status.unreadable", part=part, error=type(error).__name__)
            return None

    async def _checks(self) -> dict[str, bool]:
        """As `/readyz` tells them, in bounded time."""
        asked = readiness(self.service, self._database, bus=None)
        checks = await self._within("readiness", asked)
        if checks is None:
            checks = {"database": False, "migrations": False, "facts": False}
        if self.bus is not None:
            checks["bus"] = bool(await self._within("bus", self.bus.ready()))
        return checks

    async def _state(self) -> status.DatabaseState:
        async with self._database.reading() as session:
            # Connected first: the clock is compared within one round trip.
            _ = await session.execute(CONNECT)
            begun = time.monotonic()
            row = (await session.execute(STATE)).one()
        half = (time.monotonic() - begun) / 2
        ages = [0.0]
        for since in (row.waiting_since, row.unsent_since):
            if since is not None:
                ages.append((row.at - since).total_seconds())
        return status.DatabaseState(
            clock_skew_seconds=(clock.now() - row.at).total_seconds() - half,
            outbox_facts=row.waiting + int(row.unsent),
            outbox_age_seconds=max(ages),
            dead_letters=row.dead,
            dead_letters_given_up=row.given_up,
            refused=row.refused,
        )

    async def _lag(self) -> list[status.Lag] | None:
        if self.bus is None:
            return None
        async with self._database.reading() as session:
            rows = (await session.execute(TAKEN)).all()
        taken: dict[Place, int] = {}
        for topic, partition, offset in rows:
            taken[Place(topic, partition)] = offset
        if not taken:
            return []
        async with self.bus.reader() as reader:
            ends = await reader.ends(list(taken))
            behind: dict[Place, int] = {}
            for place, end in ends.items():
                # A topic that was filled again may be shorter.
                if end > taken[place]:
                    behind[place] = taken[place]
            oldest = await reader.at(behind)
        return _lags(taken, ends, oldest=oldest)

    def _pool(self) -> status.Pool:
        pool = self._database.engine.pool
        assert isinstance(pool, QueuePool)
        return status.Pool(in_use=pool.checkedout(), limit=pool.size())


def _lags(
    taken: Mapping[Place, int], ends: Mapping[Place, int], *, oldest: Mapping[Place, Record]
) -> list[status.Lag]:
    found: dict[str, status.Lag] = {}
    for place, offset in taken.items():
        lag = found.setdefault(place.topic, status.Lag(topic=place.topic, facts=0, seconds=0))
        lag.facts += max(0, ends.get(place, 0) - offset)
        if place in oldest:
            lag.seconds = max(lag.seconds, _age(oldest[place]))
    return sorted(found.values(), key=lambda lag: lag.topic)


def _age(record: Record) -> float:
    """Seconds since the record's event was written; 0 of one that cannot be read."""
    try:
        recorded = datetime.fromisoformat(parse_envelope(record.value).recorded)
        return max(0.0, (clock.now() - recorded.astimezone(UTC)).total_seconds())
    except ValueError:
        return 0.0


def _check_values(settings: ServiceSettings) -> dict[str, str]:
    """A few characters of each key, by which equal keys are known and nothing else."""
    values: dict[str, str] = {}
    for name, key in (("data", settings.data_key), ("platform", settings.platform_key)):
        raw = base64.b64decode(key.get_secret_value())
        values[name] = derived_key(raw, purpose="status check value")[:4].hex()
    return values


def _sum_of(names: Sequence[str]) -> int | None:
    """The sum of these metrics of this process; None when it has none of them."""
    total: float | None = None
    for family in REGISTRY.restricted_registry(names).collect():
        for sample in family.samples:
            total = (total or 0.0) + sample.value
    if total is None:
        return None
    return int(total)


def _disks(storage: Storage | None) -> list[status.Disk]:
    if storage is None:
        return []
    usage = storage.disk_usage()
    if usage is None:
        return []
    return [
        status.Disk(
            name="uploads",
            free_bytes=usage.free,
            size_bytes=usage.total,
            refused=storage.is_full,
        )
    ]


def set_metrics(found: status.Status) -> None:
    """Set the gauges of a process to its state; what could not be read vanishes."""
    service = found.service
    checks = {(check,): float(good) for check, good in found.checks.items()}
    metrics.READY.set(service, checks)
    metrics.KEYS.set(service, dict.fromkeys(found.keys.items(), 1.0))
    _set_database(service, found.database)
    _set_lag(service, found.lag or ())
    _set_disks(service, found.disks)
    if found.pool is not None:
        metrics.POOL_IN_USE.set_one(service, found.pool.in_use)
        metrics.POOL_SIZE.set_one(service, found.pool.limit)
    ends = {one.setting: one.expires_at.timestamp() for one in found.certificates}
    metrics.set_certificates(service, ends)


def _set_database(service: str, state: status.DatabaseState | None) -> None:
    for gauge, field in DATABASE_GAUGES:
        value: float | None = getattr(state, field, None)
        gauge.set_one(service, value)


def _set_lag(service: str, lags: Sequence[status.Lag]) -> None:
    facts: dict[tuple[str, ...], float] = {}
    seconds: dict[tuple[str, ...], float] = {}
    for lag in lags:
        facts[lag.topic,] = lag.facts
        seconds[lag.topic,] = lag.seconds
    metrics.LAG_FACTS.set(service, facts)
    metrics.LAG_SECONDS.set(service, seconds)


def _set_disks(service: str, disks: Sequence[status.Disk]) -> None:
    metrics.DISK_FREE.set(service, {(disk.name,): disk.free_bytes for disk in disks})
    metrics.DISK_SIZE.set(service, {(disk.name,): disk.size_bytes for disk in disks})
    metrics.DISK_FULL.set(service, {(disk.name,): float(disk.refused) for disk in disks})


def operator_routes(monitor: Monitor) -> APIRouter:
    """`/metrics` and `/internal/status` of a process."""
    router = APIRouter(include_in_schema=False)

    @router.get("/metrics")
    async def measured() -> PlainTextResponse:  # pyright: ignore[reportUnusedFunction] - a route
        _ = await monitor.measure()
        return PlainTextResponse(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    @router.get(status.PATH)
    async def told() -> status.Status:  # pyright: ignore[reportUnusedFunction] - a route
        return await monitor.measure()

    return router
