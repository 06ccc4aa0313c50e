"""The whole platform in one process, beside a PostgreSQL: the gateway, all services and workers.

`make run`, or `python -m deploy.embedded --help`. Sample data are loaded once. Ctrl-C stops it
cleanly. After a hard kill the next start finds everything that was acknowledged.
"""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Literal

import httpx
import uvicorn
import uvloop
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from deploy.command_line import DataRoot, GatewayPort, explained_errors, new_command
from deploy.errors import DeployError
from deploy.postgres import EmbeddedPostgres
from deploy.processes import GATEWAY_PORT, SERVICES
from deploy.run_folder import PortTakenError, RunFolder, refuse_taken_ports
from deploy.sample import load
from deploy.stop_signals import StopSignals
from gateway.main import create_gateway
from gateway.settings import Settings as GatewaySettings
from shared import logs
from shared.database import migrations
from shared.database.session import open_database
from shared.messaging.local_bus import LocalBus
from shared.runtime.worker import Worker
from shared.settings import ServiceSettings

INTERNAL_PORT_OFFSET = 101
"""Identity alone also listens on the gateway's port plus this.

Its feed of ended sessions is for the gateway and not for anybody outside. And the others find its
keys there before the gateway is up.
"""
FINISH_SECONDS = 3
"""How long open requests may go on after the signal to stop."""
BUS_DATABASE = "tongban_bus"


class _Server(uvicorn.Server):
    """An HTTP server inside this process, which leaves the signals to the process."""

    def __init__(
        self, app: ASGIApp, port: int, *, lifespan: Literal["auto", "off"] = "auto"
    ) -> None:
        config = uvicorn.Config(
            app,
            host="127.0.0.1",
            port=port,
            lifespan=lifespan,
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=FINISH_SECONDS,
        )
        super().__init__(config)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Serve while the block runs. Raises: `PortTakenError`."""
        serving = asyncio.create_task(self._serve_or_raise())
        # uvicorn has no event for this.
        while not self.started and not serving.done():  # noqa: ASYNC110 - as the line above says
            await asyncio.sleep(0.02)
        if serving.done():
            await serving
        try:
            yield
        finally:
            self.should_exit = True
            _ = await asyncio.wait({serving}, timeout=1)
            if not serving.done():
                number = len(self.server_state.tasks)
                _say(f"  waiting for open requests: {number}, {FINISH_SECONDS} s at most …")
            await serving

    async def _serve_or_raise(self) -> None:
        try:
            await self.serve()
        except SystemExit:
            # uvicorn ends the whole process, without a word, where it cannot bind its port.
            raise PortTakenError(self.config.port, "HTTP") from None

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


class _GatewayOfEmbedded:
    """The gateway, but `/readyz` answers 503 until the sample is loaded.

    The sample is loaded through the gateway, so that it has to serve before the platform is ready.
    """

    def __init__(self, gateway: ASGIApp) -> None:
        self.sample_loaded = False
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: PLR0917 - ASGI
        asked = scope["type"] == "http" and scope["path"] == "/readyz"
        if self.sample_loaded or not asked:
            return await self._gateway(scope, receive, send)
        body = {"service": "gateway", "checks": {"sample": False}}
        return await JSONResponse(body, 503)(scope, receive, send)


def _say(message: str) -> None:
    print(message, flush=True)


class EmbeddedPlatform:
    """All parts of the platform in `folder`, on the running server `postgres`."""

    def __init__(self, folder: RunFolder, postgres: EmbeddedPostgres) -> None:
        self.folder = folder
        self.databases = {name: postgres.dsn(f"tongban_{name}") for name in SERVICES}
        self._bus_url = postgres.dsn(BUS_DATABASE)
        self._internal_url = f"http://127.0.0.1:{folder.port + INTERNAL_PORT_OFFSET}"
        self._jwks_url = f"{self._internal_url}/api/v1/identity/jwks"
        self._servers: list[_Server] = []

    async def start(self, stack: AsyncExitStack) -> None:
        """Start every part and return when the platform is ready; `stack` stops them in reverse.

        Raises: `DeployError`, `migrations.UnknownVersionError`.
        """
        await self._migrate()
        bus = LocalBus(self._bus_url)
        _ = stack.push_async_callback(bus.close)
        settings = {name: self._settings(name) for name in SERVICES}
        apps: dict[str, FastAPI] = {}
        for name in SERVICES:
            app: FastAPI = import_module(f"services.{name}.main").build(settings[name], bus=bus)
            _ = await stack.enter_async_context(app.router.lifespan_context(app))
            apps[name] = app
            if name == "identity":
                await self._serve_internally(app, stack)
            await _start_worker(name, settings[name], bus=bus, stack=stack)
        gateway = await self._start_gateway(apps, stack)
        database = open_database(settings["identity"], 1)
        _ = stack.push_async_callback(database.close)
        await load.load_once(
            self.folder.url, account_file=self.folder.account_file, identity=database
        )
        gateway.sample_loaded = True
        # The gateway may not yet have asked for the keys and the ended sessions.
        await _wait_ready(self.folder.url)
        # Last: who finds the platform may use the sample's accounts.
        self.folder.write_state("embedded", self.databases)
        _ = stack.callback(self.folder.remove_state)

    def finish_at_once(self) -> None:
        """Let the servers stop without waiting for open requests."""
        for server in self._servers:
            server.force_exit = True

    async def _migrate(self) -> None:
        for name, url in self.databases.items():
            # Alembic is synchronous and keeps global state: a thread, one service after the other.
            migrating = migrations.run_on(url, migrations.upgrade, name)
            await asyncio.to_thread(asyncio.run, migrating)

    def _settings(self, name: str) -> ServiceSettings:
        url = self.folder.url
        own = {
            "cases": {"storage_url": str(self.folder.path / "uploads")},
            "licenses": {"public_url": url},
            "ratings": {"public_url": url},
            "exchange": {"public_url": url, "regional_url": self.folder.regional_url},
        }
        return import_module(f"services.{name}.settings").Settings(
            database_url=self.databases[name],
            data_key=self.folder.key("data"),
            platform_key=self.folder.key("platform"),
            jwks_url=self._jwks_url,
            bus="local",
            bus_database_url=self._bus_url,
            development=True,
            # Seven services and their workers share the 160 connections of the small server.
            pool_size=5,
            **own.get(name, {}),
        )

    async def _serve_internally(self, identity: FastAPI, stack: AsyncExitStack) -> None:
        port = self.folder.port + INTERNAL_PORT_OFFSET
        # The lifespan of the app runs already, as that of every service.
        server = _Server(identity, port, lifespan="off")
        self._servers.append(server)
        await stack.enter_async_context(server.running())

    async def _start_gateway(
        self, apps: dict[str, FastAPI], stack: AsyncExitStack
    ) -> _GatewayOfEmbedded:
        settings = GatewaySettings(
            jwks_url=self._jwks_url,
            revocations_url=f"{self._internal_url}/internal/revocations",
            port=self.folder.port,
            development=True,
        )
        gateway = _GatewayOfEmbedded(create_gateway(settings, upstreams=dict(apps)))
        server = _Server(gateway, self.folder.port)
        self._servers.append(server)
        await stack.enter_async_context(server.running())
        return gateway


async def _start_worker(
    name: str, settings: ServiceSettings, *, bus: LocalBus, stack: AsyncExitStack
) -> None:
    module = import_module(f"services.{name}.worker")
    database = open_database(settings, 3)
    _ = stack.push_async_callback(database.close)
    module.consumer.settings = settings
    worker = Worker(
        name, database, bus=bus, consumer=module.consumer, timers=module.timers(settings)
    )
    working = asyncio.create_task(worker.run())

    async def stop() -> None:
        _ = working.cancel()
        _ = await asyncio.gather(working, return_exceptions=True)

    _ = stack.push_async_callback(stop)


async def _wait_ready(url: str, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    async with httpx.AsyncClient(trust_env=False) as client:
        while True:
            answer = await client.get(f"{url}/readyz")
            if answer.is_success:
                return
            if time.monotonic() > deadline:
                raise DeployError(f"the platform does not get ready: {answer.text}")
            await asyncio.sleep(0.05)


async def serve(folder: RunFolder, postgres: EmbeddedPostgres, *, signals: StopSignals) -> None:
    """Run until SIGINT or SIGTERM; the second signal waits for nothing."""
    started, ready, stopping = time.monotonic(), False, asyncio.Event()
    platform = EmbeddedPlatform(folder, postgres)
    main_task = asyncio.current_task()
    assert main_task is not None

    def react() -> None:
        stopping.set()
        if signals.received > 1:
            platform.finish_at_once()
        elif not ready:
            # Whatever step the start has reached, what it started is stopped in reverse.
            _ = main_task.cancel()

    with signals.calling(react):
        try:
            async with AsyncExitStack() as stack:
                await platform.start(stack)
                ready = True
                _say(load.greeting(folder, time.monotonic() - started))
                internal_port = folder.port + INTERNAL_PORT_OFFSET
                _say(f"  Port {internal_port} is taken too, for the gateway alone.\n")
                _ = await stopping.wait()
        except asyncio.CancelledError:
            if not stopping.is_set():
                raise


def run(folder: RunFolder) -> None:
    """Start PostgreSQL, and the platform on it, until a signal comes. Raises: `DeployError`."""
    signals = StopSignals("Stopping … (Ctrl-C again: without waiting for open requests)")
    signals.install()
    # To a file: the terminal is for what the user has to know.
    log = (folder.path / "log.jsonl").open("a", buffering=1, encoding="utf-8")
    logs.configure("embedded", stream=log)
    _say("Starting PostgreSQL …")
    with EmbeddedPostgres(folder.path / "postgres") as postgres:
        postgres.create_databases([*(f"tongban_{name}" for name in SERVICES), BUS_DATABASE])
        if not signals.received:
            uvloop.run(serve(folder, postgres, signals=signals))
        _say("Stopping PostgreSQL …")
    _say("Stopped.")


cli = new_command()


@cli.command()
def main(*, port: GatewayPort = GATEWAY_PORT, data: DataRoot = Path("var")) -> None:
    """Run the whole platform in one process until Ctrl-C, with sample data."""
    folder = RunFolder(data.resolve() / "embedded", port)
    with explained_errors(folder.path, more=migrations.UnknownVersionError):
        folder.refuse_second_run()
        purposes = {port: "gateway", port + INTERNAL_PORT_OFFSET: "identity, PORT + 101"}
        refuse_taken_ports(purposes)
        with folder.locked():
            # Not an argument: exchange's consumer reads it where nobody hands it settings. Only
            # now, so that a refused run leaves its caller's environment as it was.
            _ = os.environ.setdefault("EXCHANGE_PUBLIC_URL", folder.url)
            run(folder)


if __name__ == "__main__":
    cli()
