"""A real Apache Kafka broker on this machine: broker and controller (KRaft) in one process.

For `make stack` and the tests. The jars come from `deploy/kafka/install.sh`. A killed broker is
back in seconds, because its session times out after two (production keeps Kafka's defaults).
"""

import base64
import contextlib
import ctypes
import signal
import socket
import struct
import subprocess
import time
import uuid
from pathlib import Path
from typing import Annotated, Self

import typer

from deploy.command_line import explained_errors, new_command
from deploy.errors import DeployError
from deploy.postgres import free_port

ROOT = Path(__file__).resolve().parent.parent
LIBS = ROOT / "var/kafka/libs"
HEAP = ("-Xms128m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
# ApiVersions, version 0: the smallest request that a broker answers only when it is ready to serve.
API_VERSIONS = struct.pack(">hhih", 18, 0, 1, -1)


class BrokerError(DeployError):
    """The broker cannot run; the text says what to do."""


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies, so that none is left behind."""
    with contextlib.suppress(OSError, AttributeError):
        _ = ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # 1 is PR_SET_PDEATHSIG


class KafkaBroker:
    """One broker with its data in `data_dir`.

    Stopped or killed, it starts again with the same port and data.
    """

    def __init__(self, data_dir: Path, port: int | None = None) -> None:
        self.data_dir = data_dir.resolve()
        self.port = port or free_port()
        self._controller_port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        if self._process is None:
            return None
        return self._process.pid

    def start(self, wait: float = 60.0) -> None:
        """Start the broker and return when it serves.

        Raises: `BrokerError`, at the latest after `wait` seconds.
        """
        if not any(LIBS.glob("kafka_*.jar")):
            raise BrokerError("Kafka is not installed: bash deploy/kafka/install.sh")
        self.data_dir.mkdir(parents=True, exist_ok=True)
        properties = self.data_dir / "server.properties"
        _ = properties.write_text(self._properties())
        if not (self.data_dir / "logs/meta.properties").exists():
            self._format(properties)
        with (self.data_dir / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._java("kafka.Kafka", str(properties), options=HEAP),
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                preexec_fn=die_with_parent,
                cwd=self.data_dir,
                # Ctrl-C in the terminal must not end the broker before those who still use it.
                start_new_session=True,
            )
        self._wait_until_ready(wait)

    def stop(self) -> None:
        """Stop cleanly; kill after 20 seconds."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            _ = self._process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        if self._process is not None:
            self._process.kill()
            _ = self._process.wait()
            self._process = None

    def _java(self, main_class: str, *arguments: str, options: tuple[str, ...] = ()) -> list[str]:
        quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
        return ["java", *options, quiet, "-cp", f"{LIBS}/*", main_class, *arguments]

    def _format(self, properties: Path) -> None:
        arguments = ["format", "-t", _new_cluster_id(), "-c", str(properties)]
        done = subprocess.run(
            self._java("kafka.tools.StorageTool", *arguments),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            output = done.stderr[-500:] or done.stdout[-500:]
            raise BrokerError(f"Kafka's storage could not be formatted: {output}")

    def _properties(self) -> str:
        broker = f"PLAINTEXT://127.0.0.1:{self.port}"
        values = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller_port}",
            "listeners": f"{broker},CONTROLLER://127.0.0.1:{self._controller_port}",
            "advertised.listeners": broker,
            "controller.listener.names": "CONTROLLER",
            "log.dirs": self.data_dir / "logs",
            "offsets.topic.replication.factor": 1,
            # Kafka's 50 partitions for offsets would take most of the time of a start.
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            # A test's consumer does not wait three seconds for others of its group.
            "group.initial.rebalance.delay.ms": 0,
            # A misspelt topic has to fail.
            "auto.create.topics.enable": "false",
            # A broker that was killed may register again only when its session is over.
            "broker.session.timeout.ms": 2000,
            "broker.heartbeat.interval.ms": 300,
            # A read model is rebuilt from the first event on.
            "log.retention.ms": -1,
        }
        return "".join(f"{name}={value}\n" for name, value in values.items())

    def _wait_until_ready(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._answers():
            ended = self._process is None or self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                tail = (self.data_dir / "broker.log").read_text(errors="replace")[-800:]
                raise BrokerError(f"Kafka did not start; its log ends with:\n{tail}")
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.sendall(struct.pack(">i", len(API_VERSIONS)) + API_VERSIONS)
                return len(connection.recv(4)) == 4
        except OSError:
            return False


def _new_cluster_id() -> str:
    """A random id in Kafka's form."""
    while True:
        made = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # Kafka's tool would read an id that begins with a dash as an option.
        if not made.startswith("-"):
            return made


cli = new_command()


@cli.callback()
def kafka_broker() -> None:
    """A Kafka broker for development and tests."""


@cli.command()
def run(
    data: Annotated[
        Path, typer.Option("--data", metavar="FOLDER", help="folder of the broker's data")
    ] = Path("var/kafka/data"),
    port: Annotated[
        int, typer.Option("--port", min=1, max=65_535, help="port on 127.0.0.1")
    ] = 9092,
) -> None:
    """Serve until SIGTERM or SIGINT."""
    with explained_errors(), KafkaBroker(data, port) as broker:
        typer.echo(f"Kafka on {broker.bootstrap}")
        _ = signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    cli()
