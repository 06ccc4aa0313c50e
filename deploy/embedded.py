"""The whole platform in one process: embedded PostgreSQL, in-process bus, gateway, every service and its worker.

`make run`, or `python -m deploy.embedded [--port 8000] [--data var]`. Sample data is loaded once. Ctrl-C stops cleanly; after
a hard kill the next start finds everything that was acknowledged.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from fastapi import FastAPI

from deploy.place import Place, refuse_taken
from deploy.postgres import EmbeddedPostgres, PostgresError
from deploy.processes import SERVICES
from deploy.sample import load
from gateway.main import create_gateway
from gateway.settings import Settings as GatewaySettings
from shared import logs
from shared.database import migrations
from shared.database.session import open_database
from shared.messaging.local_bus import LocalBus
from shared.runtime.worker import Worker

INTERNAL = 101
"""Identity also listens on the gateway's port plus this, for the feed of ended sessions, which no one outside may read."""


class _Server(uvicorn.Server):
    """Leaves the signals to the composition."""

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        task = asyncio.create_task(self.serve())
        while not self.started:
            if task.done():
                raise SystemExit("the HTTP server did not start")
            await asyncio.sleep(0.02)
        try:
            yield
        finally:
            self.should_exit = True
            await task

    def capture_signals(self) -> Any:
        return nullcontext()


def _server(app: Any, port: int) -> _Server:
    return _Server(
        uvicorn.Config(
            app,
            host="127.0.0.1",
            port=port,
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
    )


def _say(words: str) -> None:
    print(words, flush=True)


def _settings(place: Place, postgres: EmbeddedPostgres) -> dict[str, Any]:
    common = {
        "data_key": place.key("data"),
        "platform_key": place.key("platform"),
        "jwks_url": f"{place.url}/api/v1/identity/jwks",
        "bus": "local",
        "bus_database_url": postgres.dsn("tongban_bus"),
        "development": True,
        "pool_size": 5,
    }
    own = {
        "cases": {"storage_url": str(place.data / "uploads")},
        "licenses": {"public_url": place.url},
        "ratings": {"public_url": place.url},
        "exchange": {"public_url": place.url, "regional_url": place.regional_url},
    }
    return {
        name: import_module(f"services.{name}.settings").Settings(
            **common, database_url=postgres.dsn(f"tongban_{name}"), **own.get(name, {})
        )
        for name in SERVICES
    }


async def _migrate(postgres: EmbeddedPostgres) -> None:
    for name in SERVICES:
        url = postgres.dsn(f"tongban_{name}")
        # Alembic is synchronous and keeps state of its own: a thread, one service after the other.
        await asyncio.to_thread(asyncio.run, migrations.run_on(url, migrations.upgrade, name))


async def compose(place: Place, postgres: EmbeddedPostgres, stack: AsyncExitStack) -> None:
    """Start every part; the stack stops them in reverse."""
    await _migrate(postgres)
    settings = _settings(place, postgres)
    bus = LocalBus(postgres.dsn("tongban_bus"))
    _ = stack.push_async_callback(bus.close)
    apps: dict[str, FastAPI] = {}
    for name in SERVICES:
        app: FastAPI = import_module(f"services.{name}.main").build(settings[name], bus=bus)
        _ = await stack.enter_async_context(app.router.lifespan_context(app))
        apps[name] = app
        await _start_worker(name, settings[name], bus, stack)
    gateway = create_gateway(
        GatewaySettings(
            jwks_url=settings["identity"].jwks_url,
            revocations_url=f"http://127.0.0.1:{place.port + INTERNAL}/internal/revocations",
            port=place.port,
        ),
        upstreams=dict(apps),
    )
    await stack.enter_async_context(_server(apps["identity"], place.port + INTERNAL).running())
    await stack.enter_async_context(_server(gateway, place.port).running())
    identity = settings["identity"]
    database = open_database(identity, 1)
    _ = stack.push_async_callback(database.close)
    await load.load_once(place, database)
    place.write_state(
        {
            "kind": "embedded",
            "databases": {name: postgres.dsn(f"tongban_{name}") for name in SERVICES},
        }
    )
    _ = stack.callback(place.remove_state)


async def _start_worker(name: str, settings: Any, bus: LocalBus, stack: AsyncExitStack) -> None:
    module = import_module(f"services.{name}.worker")
    database = open_database(settings, 3)
    _ = stack.push_async_callback(database.close)
    module.consumer.settings = settings
    worker = Worker(name, database, bus, module.consumer, module.timers(settings))
    task = asyncio.create_task(worker.run())

    async def stop() -> None:
        _ = task.cancel()
        _ = await asyncio.gather(task, return_exceptions=True)

    _ = stack.push_async_callback(stop)


async def serve(place: Place, postgres: EmbeddedPostgres) -> None:
    """Run until SIGINT or SIGTERM."""
    started, stopping = time.monotonic(), asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stopping.set)
    async with AsyncExitStack() as stack:
        await compose(place, postgres, stack)
        _say(load.greeting(place, time.monotonic() - started))
        _ = await stopping.wait()
        _say("Stopping …")


def main(arguments: list[str]) -> int:
    """`[--port 8000] [--data var]`."""
    options = dict(zip(arguments[::2], arguments[1::2], strict=False))
    place = Place(
        Path(options.get("--data", "var")).resolve() / "embedded",
        int(options.get("--port", "8000")),
    )
    refuse_taken((place.port, place.port + INTERNAL))
    # Not an argument: exchange's consumer reads it where nobody hands it settings.
    _ = os.environ.setdefault("EXCHANGE_PUBLIC_URL", place.url)
    try:
        place.data.mkdir(parents=True, exist_ok=True)
        logs.configure(
            "embedded", stream=(place.data / "log.jsonl").open("a", buffering=1, encoding="utf-8")
        )
        _say("Starting PostgreSQL …")
        with EmbeddedPostgres(place.data / "postgres") as postgres:
            postgres.create_databases([*(f"tongban_{name}" for name in SERVICES), "tongban_bus"])
            uvloop.run(serve(place, postgres))
    except (PostgresError, migrations.UnknownVersionError) as error:
        _ = sys.stderr.write(f"{error}\n")
        return 1
    except OSError as error:
        _ = sys.stderr.write(f"cannot use {place.data}: {error.strerror}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
