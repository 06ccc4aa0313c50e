"""The production topology without containers: PostgreSQL, a real Kafka broker, one process per part, the gateway.

`make stack`, or `python -m deploy.stack [--port 8000] [--data var] [--replicas cases-worker=3,…]`. Sample data is loaded once.
A process that dies is started again, as an orchestrator would. Tests and benchmarks use `Stack` and kill what they like.
"""

import asyncio
import base64
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from http.client import HTTPException
from pathlib import Path
from typing import Self
from urllib.request import urlopen

from deploy.broker import BrokerError, KafkaBroker, die_with_parent
from deploy.place import Place, refuse_taken
from deploy.postgres import EmbeddedPostgres, PostgresError, free_port
from deploy.processes import GATEWAY_PORT, SERVICES, Surroundings, processes
from deploy.sample import load
from shared.database import migrations
from shared.database.session import Database

ROOT = Path(__file__).resolve().parent.parent
READY_SECONDS = 60.0
SERVER = {"shared_buffers": "256MB"}
"""A production server has more than `make run` gives its own; with little, batches make it write its pages again and again."""


class StackError(RuntimeError):
    """A process does not come up; the text holds the end of its log."""


class Stack:
    """The processes of one platform on this machine, in `place`: all, or `only` those named.

    `replicas` adds copies of a process by its name; `settings` are added to every environment, `postgres` to the server's.
    """

    def __init__(
        self,
        place: Place,
        *,
        replicas: Mapping[str, int] | None = None,
        settings: Mapping[str, str] | None = None,
        postgres: Mapping[str, str] | None = None,
        only: Collection[str] | None = None,
    ) -> None:
        self.place = place
        self.postgres = EmbeddedPostgres(
            place.data / "postgres", settings={**SERVER, **(postgres or {})}
        )
        self.kafka = KafkaBroker(place.data / "kafka")
        self.topology = processes(place.port - GATEWAY_PORT)
        self.listed = {p.name: p for p in self.topology if only is None or p.name in only}
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self._settings = dict(settings or {})
        self._replicas = dict(replicas or {})

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def surroundings(self) -> Surroundings:
        return Surroundings(
            database=lambda service: self.postgres.dsn(f"tongban_{service}"),
            data_key=lambda _service: self.place.key("data"),
            platform_key=self.place.key("platform"),
            kafka=self.kafka.bootstrap,
            host_of=lambda _process: "127.0.0.1",
            listen="127.0.0.1",
            storage=str(self.place.data / "uploads"),
            public_url=self.place.url,
            regional_url=self.place.regional_url,
            development=True,
            processes=self.topology,
        )

    def start(self) -> None:
        """Bring everything up, in order; returns when every process is ready."""
        self.place.data.mkdir(parents=True, exist_ok=True)
        self.postgres.start()
        self.postgres.create_databases(f"tongban_{service}" for service in SERVICES)
        for service in SERVICES:
            asyncio.run(
                migrations.run_on(
                    self.postgres.dsn(f"tongban_{service}"), migrations.upgrade, service
                )
            )
        self.kafka.start()
        for name in list(self.listed):
            self.launch(name)
            for number in range(2, self._replicas.get(name, 1) + 1):
                self.launch(self.add_replica(name, number))
        for name in self.running:
            self.wait_ready(name)
        self.place.write_state(
            {
                "kind": "stack",
                "databases": {
                    service: self.postgres.dsn(f"tongban_{service}") for service in SERVICES
                },
                "kafka": self.kafka.bootstrap,
            }
        )

    async def load_sample(self) -> None:
        """The sample accounts and catalogue, once."""
        url, key = self.postgres.dsn("tongban_identity"), self.place.key("data")
        database = Database(url, data_key=base64.b64decode(key), pool_size=1)
        try:
            await load.load_once(self.place, database)
        finally:
            await database.close()

    def add_replica(self, name: str, number: int) -> str:
        """A further copy of a process on a port of its own; its name."""
        copy = replace(self.listed[name], port=free_port())
        self.listed[f"{name}.{number}"] = copy
        return f"{name}.{number}"

    def launch(self, name: str, *through: str) -> None:
        """Start one process and return at once; `through` names a module, with its arguments, that starts the process's own."""
        process = self.listed[name]
        environment = {**self.surroundings.environment(process), **self._settings}
        log = self.log_of(name)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as stream:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", *through, process.module],
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **environment},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent,
            )

    def log_of(self, name: str) -> Path:
        return self.place.data / f"logs/{name}.jsonl"

    def wait_ready(self, name: str, seconds: float = READY_SECONDS) -> None:
        """Until `/readyz` of the process answers 200."""
        deadline = time.monotonic() + seconds
        while not self.is_ready(name):
            ended = self.running[name].poll() is not None
            if ended or time.monotonic() > deadline:
                tail = self.log_of(name).read_text(errors="replace")[-1500:]
                raise StackError(
                    f"{name} {'ended' if ended else 'is not ready'}; its log ends with:\n{tail}"
                )
            time.sleep(0.1)

    def is_ready(self, name: str) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self.listed[name].port}/readyz", timeout=2) as answer:
                return answer.status == 200
        except (OSError, HTTPException):
            return False

    def kill(self, name: str) -> None:
        """SIGKILL one process, as a crash would."""
        self.running[name].kill()
        _ = self.running.pop(name).wait()

    def end(self, name: str) -> None:
        """Stop one process cleanly; kill it after 25 seconds."""
        process = self.running.pop(name)
        process.terminate()
        try:
            _ = process.wait(25)
        except subprocess.TimeoutExpired:
            process.kill()
            _ = process.wait()

    def revive(self) -> list[str]:
        """Start again whatever has died; the names."""
        dead = [name for name, process in self.running.items() if process.poll() is not None]
        for name in dead:
            self.launch(name)
        return dead

    def stop(self) -> None:
        """Stop everything, callers before what they call."""
        self.place.remove_state()
        for process in reversed(self.running.values()):
            process.terminate()
        for name in reversed(list(self.running)):
            self.end(name)
        self.kafka.stop()
        self.postgres.stop()


def serve(stack: Stack) -> None:
    """Run until SIGINT or SIGTERM, starting again what dies."""
    stopping: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        _ = signal.signal(number, lambda signum, _frame: stopping.append(signum))
    started = time.monotonic()
    with stack:
        asyncio.run(stack.load_sample())
        print(load.greeting(stack.place, time.monotonic() - started), flush=True)
        while not stopping:
            time.sleep(0.5)
            for name in stack.revive():
                print(
                    f"{name} had died and is started again; its log: {stack.log_of(name)}",
                    flush=True,
                )
        print("Stopping …", flush=True)


def main(arguments: list[str]) -> int:
    """`[--port 8000] [--data var] [--replicas cases-worker=3,cases-api=2]`."""
    options = dict(zip(arguments[::2], arguments[1::2], strict=False))
    place = Place(
        Path(options.get("--data", "var")).resolve() / "stack", int(options.get("--port", "8000"))
    )
    wanted = (entry.partition("=") for entry in options.get("--replicas", "").split(",") if entry)
    stack = Stack(place, replicas={name: int(count) for name, _, count in wanted})
    refuse_taken([process.port for process in stack.listed.values()])
    try:
        serve(stack)
    except (PostgresError, BrokerError, StackError, migrations.UnknownVersionError) as error:
        _ = sys.stderr.write(f"{error}\n")
        return 1
    except OSError as error:
        _ = sys.stderr.write(f"cannot use {place.data}: {error.strerror}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
