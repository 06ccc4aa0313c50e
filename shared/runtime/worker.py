"""The background process of a service: relay, inbox, audit sealer, timers, housekeeping, health."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Awaitable, Callable, Container, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
import uvloop
from fastapi import FastAPI, Response

from shared import clock, logs
from shared.context import Context, using
from shared.database.audit import Sealer
from shared.database.housekeeping import PRUNE
from shared.database.key_check import WrongKeyError, checked_keys
from shared.database.session import Database, is_database_trouble, open_database
from shared.events.base import topic_of
from shared.messaging.bus import Bus
from shared.messaging.catching_up import CatchingUp
from shared.messaging.consumer import Consumer
from shared.messaging.inbox import Inbox
from shared.messaging.kafka import KafkaBus, KafkaSecurity
from shared.messaging.local_bus import LocalBus
from shared.messaging.outbox import Relay
from shared.messaging.topics import LOOK_EVERY, TopicWatch
from shared.runtime import http_client
from shared.runtime.gc_tuning import tune_gc
from shared.runtime.monitor import Monitor, operator_routes
from shared.runtime.presence import Presence
from shared.runtime.quiet_server import QuietServer
from shared.runtime.readiness import readiness
from shared.runtime.refusal import RefusalWatch
from shared.settings import ServiceSettings

WHILE_REFUSED = frozenset({"topics"})
"""Timers that write nothing, so that they go on while the database is refused."""
FINISH_TIMEOUT = 5.0
"""Seconds that a worker has to finish the batch of events in hand."""
END_TIMEOUT = 3.0
"""Seconds that it then has to end everything else."""
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
        self.consumer = consumer
        self.bus = bus
        self.relay = Relay(database, bus, topic=topic_of(service), rebuildable=consumer.rebuildable)
        self.inbox = Inbox(database, bus, consumer=consumer)
        self.catching_up = CatchingUp(database, bus, consumer=consumer)
        self.sealer = Sealer(database)
        self._refusal = RefusalWatch(service, database, bus=bus, rebuildable=consumer.rebuildable)
        topics = sorted({topic_of(service), *consumer.topics})
        self.topics = TopicWatch(service, bus, topics=topics)
        housekeeping = Timer("housekeeping", 3600.0, _housekeep)
        watch = Timer("topics", LOOK_EVERY, self.topics.look)
        self._timers = [*timers, housekeeping, watch]
        self.ending = False

    async def run(self) -> None:
        """Work until cancelled; then work in flight is finished or rolled back."""
        await self.topics.make()
        await self._refusal.begin()
        async with asyncio.TaskGroup() as group:
            _ = group.create_task(self._refusal.run())
            # The relay compares by itself, and finds out when all is well again.
            _ = group.create_task(self.relay.run())
            works = (
                self.inbox.run,
                self.inbox.run_retries,
                self.catching_up.run,
                self.sealer.run,
            )
            for work in works:
                _ = group.create_task(self._unless_refused(work))
            for timer in self._timers:
                _ = group.create_task(self._tick(timer))

    async def finish(self) -> None:
        """Finish the batch of events in hand, if that does not take long. Then cancel `run`."""
        self.ending = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FINISH_TIMEOUT):
                await self.inbox.finish()

    async def _unless_refused(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run endless work, and stop it while the database is refused."""
        while True:
            _ = await self._refusal.accepted.wait()
            working = asyncio.ensure_future(work())
            refused = asyncio.ensure_future(self._refusal.refused.wait())
            try:
                _ = await asyncio.wait({working, refused}, return_when=asyncio.FIRST_COMPLETED)
                if working.done():
                    return await working
            finally:
                for task in (working, refused):
                    _ = task.cancel()
                _ = await asyncio.wait({working, refused})

    async def _tick(self, timer: Timer) -> None:
        while True:
            if timer.name not in WHILE_REFUSED:
                _ = await self._refusal.accepted.wait()
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
        return KafkaBus(
            settings.kafka_bootstrap,
            replication=settings.replication,
            security=_security_of(settings),
        )
    assert settings.bus_database_url is not None
    return LocalBus(settings.bus_database_url.get_secret_value())


def health_app(worker: Worker, settings: ServiceSettings) -> FastAPI:
    """`/healthz`, `/readyz`, `/metrics` and `/internal/status` of a background process."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    service = worker.service
    monitor = Monitor(
        f"{service}-worker",
        service,
        settings=settings,
        database=worker.database,
        bus=worker.bus,
    )
    app.include_router(operator_routes(monitor))

    @app.get("/healthz")
    async def alive() -> dict[str, str]:  # pyright: ignore[reportUnusedFunction]
        return {"status": "alive", "service": worker.service}

    @app.get("/readyz")
    async def ready(response: Response) -> dict[str, object]:  # pyright: ignore[reportUnusedFunction]
        if worker.ending:
            response.status_code = 503
            return {"service": worker.service, "checks": {"accepting": False}}
        checks = await readiness(worker.service, worker.database, bus=worker.bus)
        checks["topics"] = worker.topics.refused is None
        response.status_code = 200 if all(checks.values()) else 503
        return {"service": worker.service, "checks": checks, "leads_relay": worker.relay.leading}

    return app


def _end_on_signal(
    worker: Worker, working: asyncio.Task[None], *, kept: Container[asyncio.Task[Any] | None]
) -> None:
    """At the first SIGINT or SIGTERM let the worker finish, then cancel all tasks but `kept`."""
    loop = asyncio.get_running_loop()
    finishing: set[asyncio.Task[None]] = set()

    def cancel_rest() -> None:
        for task in asyncio.all_tasks():
            if task not in kept:
                _ = task.cancel()

    async def finish() -> None:
        await worker.finish()
        _ = working.cancel()
        # Closing a connection to a bus that is away takes as long as it is away.
        _ = loop.call_later(END_TIMEOUT, cancel_rest)

    def end() -> None:
        if not finishing:
            finishing.add(loop.create_task(finish()))

    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, end)


async def _serve(worker: Worker, settings: ServiceSettings) -> None:
    # The signals are the worker's: it ends first.
    server = QuietServer(
        health_app(worker, settings), host=settings.host, port=settings.worker_port
    )
    presence = Presence(
        worker.service,
        worker.database,
        name=f"{worker.service}-worker",
        consumes=worker.consumer.types,
    )
    telling = asyncio.create_task(presence.keep())
    working = asyncio.create_task(worker.run())
    serving = asyncio.create_task(server.serve())
    kept = {serving, telling, asyncio.current_task()}
    _end_on_signal(worker, working, kept=kept)
    try:
        _ = await asyncio.wait({working}, return_when=asyncio.FIRST_COMPLETED)
        if not working.cancelled() and (error := working.exception()) is not None:
            raise error
    finally:
        server.should_exit = True
        await serving
        _ = telling.cancel()
        _ = await asyncio.wait({telling})
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
    uvloop.run(_serve_with_checked_keys(worker, settings))


async def _serve_with_checked_keys(worker: Worker, settings: ServiceSettings) -> None:
    try:
        async with checked_keys(worker.database, worker.service):
            await _serve(worker, settings)
    except WrongKeyError as error:
        sys.exit(str(error))
