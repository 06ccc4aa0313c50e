"""The production topology without containers: PostgreSQL, Kafka, a process per part, the gateway.

`make stack`, or `python -m deploy.stack --help`. Sample data are loaded once. A process that dies
is started again, as an orchestrator would. Tests and benchmarks use `Stack` and kill parts of it.
"""

import asyncio
import base64
import os
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from http.client import HTTPException
from pathlib import Path
from typing import Annotated, Self
from urllib.request import urlopen

import typer

from deploy.broker import die_with_parent, some_brokers
from deploy.command_line import DataRoot, GatewayPort, explained_errors, new_command
from deploy.errors import DeployError
from deploy.postgres import EmbeddedPostgres, free_port
from deploy.processes import GATEWAY_PORT, SERVICES, Deployment, processes
from deploy.run_folder import RunFolder, refuse_taken_ports
from deploy.sample import load
from deploy.stop_signals import StopSignals
from shared.city import SAMPLE
from shared.database import migrations
from shared.database.session import Database

ROOT = Path(__file__).resolve().parent.parent
READY_SECONDS = 60.0
STOP_SECONDS = 35.0
MOST_REPLICAS = 16
SERVER_SETTINGS = {"shared_buffers": "256MB"}
"""With the little memory that `make run` gives its server, batches write each page many times."""


class StackError(DeployError):
    """A process does not come up; the text holds the end of its log."""


class Stack:
    """The processes of one platform on this machine, in `folder`: all, or `only` those named.

    `replicas` adds copies of a process by its name. `settings` are added to every environment,
    `postgres` to the server's settings. With three `brokers` each topic has three copies.
    """

    def __init__(
        self,
        folder: RunFolder,
        *,
        replicas: Mapping[str, int] | None = None,
        settings: Mapping[str, str] | None = None,
        postgres: Mapping[str, str] | None = None,
        only: Collection[str] | None = None,
        brokers: int = 1,
    ) -> None:
        self.folder = folder
        self.postgres = EmbeddedPostgres(
            folder.path / "postgres", settings={**SERVER_SETTINGS, **(postgres or {})}
        )
        self.kafka = some_brokers(folder.path / "kafka", number=brokers)
        self.topology = processes(folder.port - GATEWAY_PORT)
        self.listed = {p.name: p for p in self.topology if only is None or p.name in only}
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self._settings = dict(settings or {})
        for name, number in (replicas or {}).items():
            for copy in range(2, number + 1):
                _ = self.add_replica(name, copy)
        if "gateway.2" in self.listed:
            self._share_gateway_port()

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
    def deployment(self) -> Deployment:
        return Deployment(
            secrets=self._secrets,
            kafka=self.kafka.bootstrap,
            kafka_replication=str(self.kafka.copies),
            host_of=lambda _process: "127.0.0.1",
            listen="127.0.0.1",
            storage=str(self.folder.path / "uploads"),
            public_url=self.folder.url,
            regional_url=self.folder.regional_url,
            development=True,
            processes=self.topology,
            gateway_port=self.folder.port,
            city_file=str(SAMPLE),
        )

    def _secrets(self, service: str) -> dict[str, str]:
        return {
            "DATABASE_URL": self.postgres.dsn(f"tongban_{service}"),
            "DATA_KEY": self.folder.key("data"),
            "PLATFORM_KEY": self.folder.key("platform"),
        }

    def start(self) -> None:
        """Start everything in order; return when every process is ready.

        Raises: `DeployError`.
        """
        self.folder.path.mkdir(parents=True, exist_ok=True)
        self.postgres.start()
        self.postgres.create_databases(f"tongban_{service}" for service in SERVICES)
        databases = {service: self.postgres.dsn(f"tongban_{service}") for service in SERVICES}
        for service, url in databases.items():
            asyncio.run(migrations.run_on(url, migrations.upgrade, service))
        self.kafka.start()
        for name in self.listed:
            self.launch(name)
        for name in self.running:
            self.wait_ready(name)
        self.folder.write_state("stack", databases, kafka=self.kafka.bootstrap)

    async def load_sample(self) -> None:
        """Load the sample accounts and catalogue, once."""
        url, key = self.postgres.dsn("tongban_identity"), self.folder.key("data")
        database = Database(url, data_key=base64.b64decode(key), pool_size=1)
        try:
            await load.load_once(
                self.folder.url, account_file=self.folder.account_file, identity=database
            )
        finally:
            await database.close()

    def add_replica(self, name: str, number: int) -> str:
        """List a further copy of a process, on a port of its own; returns its name.

        Gateways that are started from then on send it requests too.
        """
        copy = replace(self.listed[name], port=free_port(), number=number)
        self.listed[copy.name] = copy
        self.topology.append(copy)
        return copy.name

    def _share_gateway_port(self) -> None:
        """Give the first gateway a port of its own too."""
        first = replace(self.listed["gateway"], port=free_port())
        self.topology = [one for one in self.topology if one.name != "gateway"] + [first]
        self.listed["gateway"] = first

    def launch(self, name: str, *through: str) -> None:
        """Start one process and return at once.

        `through` names a module, with its arguments, that starts the process's own module.
        """
        process = self.listed[name]
        environment = {**self.deployment.environment(process), **self._settings}
        log = self.log_of(name)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as stream:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", *through, process.module],
                cwd=ROOT,
                # Nothing else of our environment: the settings are complete, as in a container.
                env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **environment},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent,
                # Ctrl-C in the terminal would end all of them at once, in no order.
                start_new_session=True,
            )

    def log_of(self, name: str) -> Path:
        return self.folder.path / f"logs/{name}.jsonl"

    def wait_ready(self, name: str, seconds: float = READY_SECONDS) -> None:
        """Return when `/readyz` of the process answers 200. Raises: `StackError`."""
        deadline = time.monotonic() + seconds
        while not self.is_ready(name):
            if self.running[name].poll() is not None:
                raise self._failure(name, what="ended")
            if time.monotonic() > deadline:
                raise self._failure(name, what="is not ready")
            time.sleep(0.1)

    def _failure(self, name: str, *, what: str) -> StackError:
        tail = self.log_of(name).read_text(errors="replace")[-1500:]
        return StackError(f"{name} {what}; its log ends with:\n{tail}")

    def is_ready(self, name: str) -> bool:
        url = f"http://127.0.0.1:{self.listed[name].port}/readyz"
        try:
            with urlopen(url, timeout=2) as answer:
                return answer.status == 200
        except (OSError, HTTPException):
            return False

    def kill(self, name: str) -> None:
        """SIGKILL one process, as a crash would."""
        self.running[name].kill()
        _ = self.running.pop(name).wait()

    def end(self, name: str) -> None:
        """Stop one process cleanly; kill it after 35 seconds."""
        process = self.running.pop(name)
        process.terminate()
        try:
            _ = process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            _ = process.wait()

    def revive(self) -> list[str]:
        """Start again whatever has died; returns the names."""
        dead = [name for name, process in self.running.items() if process.poll() is not None]
        for name in dead:
            self.launch(name)
        return dead

    def stop(self) -> None:
        """Stop everything, callers before what they call."""
        # First, so that no command finds a platform that is about to end.
        self.folder.remove_state()
        # All get the signal before the first is waited for: they finish side by side.
        for process in reversed(self.running.values()):
            process.terminate()
        for name in reversed(list(self.running)):
            self.end(name)
        self.kafka.stop()
        self.postgres.stop()


async def _load_sample(stack: Stack, signals: StopSignals) -> None:
    loading = asyncio.create_task(stack.load_sample())
    with signals.calling(loading.cancel):
        _ = await asyncio.wait({loading})
    if not loading.cancelled():
        await loading


def serve(stack: Stack) -> None:
    """Run until SIGINT or SIGTERM, starting again what dies."""
    signals = StopSignals("Stopping … (a process that is being started is waited for)")
    signals.install()
    started = time.monotonic()
    with stack:
        # The sample goes through the gateway, so everything has to run before it.
        asyncio.run(_load_sample(stack, signals))
        if not signals.received:
            print(load.greeting(stack.folder, time.monotonic() - started), flush=True)
        while not signals.received:
            time.sleep(0.5)
            for name in stack.revive():
                log = stack.log_of(name)
                print(f"{name} had died and is started again; its log: {log}", flush=True)


def parse_replicas(text: str) -> dict[str, int]:
    """`cases-worker=3,cases-api=2` as a mapping. Raises: `DeployError`."""
    names = {process.name for process in processes()}
    replicas: dict[str, int] = {}
    for entry in filter(None, text.split(",")):
        name, _, number = entry.partition("=")
        well_formed = number.isascii() and number.isdecimal() and 1 <= int(number) <= MOST_REPLICAS
        if name not in names or not well_formed:
            known = ", ".join(sorted(names))
            raise DeployError(
                f"{entry!r} 不是“进程名=数量”,例如 cases-api=2。进程名有:{known}\n"
                f"{entry!r} is not of the form PROCESS=NUMBER, like cases-api=2."
                " The processes are the ones listed above."
            )
        replicas[name] = int(number)
    return replicas


cli = new_command()


@cli.command()
def main(
    *,
    port: GatewayPort = GATEWAY_PORT,
    data: DataRoot = Path("var"),
    replicas: Annotated[
        str,
        typer.Option(metavar="cases-worker=3,…", help="how many of a process there are"),
    ] = "",
    brokers: Annotated[
        int, typer.Option(min=1, max=5, help="Kafka brokers; with three, topics have three copies")
    ] = 1,
) -> None:
    """Run the production topology as processes until Ctrl-C, with sample data."""
    try:
        wanted = parse_replicas(replicas)
    except DeployError as error:
        typer.echo(str(error), err=True)
        # As for every other value that a command does not take.
        raise typer.Exit(2) from None
    folder = RunFolder(data.resolve() / "stack", port)
    with explained_errors(folder.path, more=migrations.UnknownVersionError):
        folder.refuse_second_run()
        stack = Stack(folder, replicas=wanted, brokers=brokers)
        ports = {process.port: name for name, process in stack.listed.items()}
        ports |= {process.operator_port: name for name, process in stack.listed.items()}
        refuse_taken_ports({**ports, port: "gateway"})
        with folder.locked():
            serve(stack)


if __name__ == "__main__":
    cli()
