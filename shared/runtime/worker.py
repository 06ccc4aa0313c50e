"""The background process of a service: relay, inbox, audit sealer, timers, housekeeping, health."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import structlog
import uvicorn
import uvloop
from fastapi import FastAPI, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text

from shared import clock, logs, metrics
from shared.context import Context, using
from shared.database.audit import Sealer
from shared.database.housekeeping import PRUNE
from shared.database.session import Database, is_database_trouble, open_database
from shared.events.base import topic_of
from shared.messaging.bus import Bus
from shared.messaging.inbox import Consumer, Inbox
from shared.messaging.kafka import KafkaBus, KafkaSecurity
from shared.messaging.local_bus import LocalBus
from shared.messaging.outbox import Relay
from shared.runtime import http_client
from shared.runtime.gc_tuning import tune_gc
from shared.runtime.readiness import readiness
from shared.settings import ServiceSettings

WAITING = text(
    "SELECT (SELECT count(*) FROM outbox) AS outbox, (SELECT count(*) FROM dead_letter) AS dead"
)
END_TIMEOUT = 3.0
"""Seconds that a worker has to finish work in flight before it ends."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Timer:
    """Work that is due by time.

    `work(database, now)` is called every `every` seconds. It claims its rows with SKIP LOCKED, so
    that any number of replicas may run it.
    """

    name: str
    every: float
    work: Callable[[Database, datetime], Awaitable[object]]


class Worker:
    """The background half of one service. Any number of replicas may run beside each other."""

    def __init__(
        self,
        service: str,
        database: Database,
        *,
        bus: Bus,
        consumer: Consumer,
        timers: Sequence[Timer] = (),
    ) -> None:
        self.service = service
        self.database = database
        self.bus = bus
        self.relay = Relay(database, bus, topic=topic_of(service), rebuildable=consumer.rebuildable)
        self.inbox = Inbox(database, bus, consumer=consumer)
        self.sealer = Sealer(database)
        self._topics = sorted({topic_of(service), *consumer.topics})
        housekeeping = Timer("housekeeping", 3600.0, _housekeep)
        gauges = Timer("gauges", 15.0, self._measure)
        self._timers = [*timers, housekeeping, gauges]

    async def run(self) -> None:
        """Work until cancelled; then work in flight is finished or rolled back."""
        await self._ensure_topics()
        async with asyncio.TaskGroup() as group:
            for work in (self.relay.run, self.inbox.run, self.inbox.run_retries, self.sealer.run):
                _ = group.create_task(work())
            for timer in self._timers:
                _ = group.create_task(self._tick(timer))

    async def _ensure_topics(self) -> None:
        while True:
            try:
                return await self.bus.ensure_topics(self._topics)
            except Exception as error:
                log.warning("worker.bus_waiting", error=type(error).__name__)
                await asyncio.sleep(1)

    async def _tick(self, timer: Timer) -> None:
        while True:
            try:
                with using(Context(actor=f"timer:{self.service}.{timer.name}")):
                    _ = await timer.work(self.database, clock.now())
            except Exception as error:
                if is_database_trouble(error):
                    log.warning(
                        "timer.database_waiting", timer=timer.name, error=type(error).__name__
                    )
                else:
                    log.exception("timer.failed", timer=timer.name)
            await asyncio.sleep(timer.every)

    async def _measure(self, database: Database, _now: datetime) -> None:
        async with database.reading() as session:
            row = (await session.execute(WAITING)).one()
        metrics.OUTBOX_WAITING.labels(self.service).set(row.outbox)
        metrics.DEAD_LETTERS.labels(self.service).set(row.dead)


async def _housekeep(database: Database, _now: datetime) -> None:
    async with database.transaction() as session:
        _ = await session.execute(PRUNE)


def _security_of(settings: ServiceSettings) -> KafkaSecurity:
    password = ""
    if settings.kafka_password is not None:
        password = settings.kafka_password.get_secret_value()
    return KafkaSecurity(
        protocol=settings.kafka_security,
        ca_file=settings.kafka_ca_file,
        mechanism=settings.kafka_sasl_mechanism,
        username=settings.kafka_username,
        password=password,
    )


def open_bus(settings: ServiceSettings) -> Bus:
    """The bus that the settings name."""
    if settings.bus == "kafka":
        return KafkaBus(settings.kafka_bootstrap, security=_security_of(settings))
    assert settings.bus_database_url is not None
    return LocalBus(settings.bus_database_url.get_secret_value())


def health_app(worker: Worker) -> FastAPI:
    """`/healthz`, `/readyz` and `/metrics` of a background process."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    @app.get("/healthz")
    async def alive() -> dict[str, str]:  # pyright: ignore[reportUnusedFunction]
        return {"status": "alive", "service": worker.service}

    @app.get("/readyz")
    async def ready(response: Response) -> dict[str, object]:  # pyright: ignore[reportUnusedFunction]
        checks = await readiness(worker.service, worker.database, bus=worker.bus)
        response.status_code = 200 if all(checks.values()) else 503
        return {"service": worker.service, "checks": checks, "leads_relay": worker.relay.leading}

    @app.get("/metrics")
    async def measured() -> PlainTextResponse:  # pyright: ignore[reportUnusedFunction]
        return PlainTextResponse(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return app


class _QuietServer(uvicorn.Server):
    """Does not handle signals: the worker does, and ends first."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


async def _serve(worker: Worker, host: str, *, port: int) -> None:
    server = _QuietServer(
        uvicorn.Config(
            health_app(worker),
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            lifespan="off",
        )
    )
    working = asyncio.create_task(worker.run())
    serving = asyncio.create_task(server.serve())
    loop = asyncio.get_running_loop()
    kept = {serving, asyncio.current_task()}

    def cancel_rest() -> None:
        for task in asyncio.all_tasks() - kept:
            _ = task.cancel()

    def end() -> None:
        _ = working.cancel()
        # Closing a connection to a bus that is away takes as long as it is away.
        _ = loop.call_later(END_TIMEOUT, cancel_rest)

    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, end)
    try:
        _ = await asyncio.wait({working}, return_when=asyncio.FIRST_COMPLETED)
        if not working.cancelled() and (error := working.exception()) is not None:
            raise error
    finally:
        server.should_exit = True
        await serving
        await worker.database.close()


def run_worker(
    service: str, settings: ServiceSettings, *, consumer: Consumer, timers: Sequence[Timer] = ()
) -> None:
    """Main of `services/<name>/worker.py`: run until SIGTERM or SIGINT."""
    logs.configure(f"{service}-worker")
    http_client.configure(settings)
    tune_gc()
    database = open_database(settings)
    consumer.settings = settings
    worker = Worker(service, database, bus=open_bus(settings), consumer=consumer, timers=timers)
    uvloop.run(_serve(worker, settings.host, port=settings.worker_port))
