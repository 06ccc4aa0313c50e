"""Real Apache Kafka brokers on this machine: broker and controller (KRaft) in one process.

For `make stack` and the tests. The jars come from `deploy/kafka/install.sh`. A killed broker is
back in seconds, because its session times out after two (production keeps Kafka's defaults).
"""

import base64
import contextlib
import ctypes
import os
import signal
import socket
import struct
import subprocess
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Self

import typer

from deploy.command_line import explained_errors, new_command
from deploy.errors import DeployError
from deploy.postgres import free_port

ROOT = Path(__file__).resolve().parent.parent
LIBS = ROOT / "var/kafka/libs"
JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
HEAP = ("-Xms128m", "-Xmx320m")
SMALL_HEAP = ("-Xms96m", "-Xmx192m")
"""Of each broker of a cluster on one machine."""
# ApiVersions, version 0: the smallest request that a broker answers only when it is ready to serve.
API_VERSIONS = struct.pack(">hhih", 18, 0, 1, -1)


class BrokerError(DeployError):
    """The broker cannot run; the text says what to do."""


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies, so that none is left behind."""
    with contextlib.suppress(OSError, AttributeError):
        _ = ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # 1 is PR_SET_PDEATHSIG


@dataclass(frozen=True, slots=True)
class Node:
    """One member of a cluster, as it and the others know it."""

    number: int
    """From 1 on."""
    controller_port: int
    cluster: str
    """The cluster's id."""
    voters: str
    """All controllers: `1@127.0.0.1:9093,2@…`."""
    size: int
    """How many brokers there are."""

    @property
    def copies(self) -> int:
        """Of Kafka's own topics, such as the offsets of groups."""
        return min(3, self.size)


def _nodes(number: int) -> list[Node]:
    """The members of a new cluster of so many brokers."""
    cluster, found = _new_cluster_id(), list[Node]()
    for one in range(1, number + 1):
        found.append(Node(one, free_port(), cluster, "", number))
    voters = ",".join(f"{node.number}@127.0.0.1:{node.controller_port}" for node in found)
    return [replace(node, voters=voters) for node in found]


class KafkaBroker:
    """One broker with its data in `data_dir`: alone, or the `node` of a cluster.

    Stopped or killed, it starts again with the same port and data.
    """

    def __init__(
        self,
        data_dir: Path,
        port: int | None = None,
        *,
        node: Node | None = None,
        heap: Sequence[str] = HEAP,
    ) -> None:
        self.data_dir = data_dir.resolve()
        self.port = port or free_port()
        self._node = node or _nodes(1)[0]
        self._heap = heap
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
    def copies(self) -> int:
        """How many copies of a topic there can be."""
        return 1

    @property
    def pid(self) -> int | None:
        if self._process is None:
            return None
        return self._process.pid

    def start(self, wait: float = 60.0) -> None:
        """Start the broker and return when it serves.

        Raises: `BrokerError`, at the latest after `wait` seconds.
        """
        self.launch()
        self.wait_ready(wait)

    def prepare(self) -> None:
        """Make the folder and settings. Raises: `BrokerError`."""
        if not any(LIBS.glob("kafka_*.jar")):
            raise BrokerError("Kafka is not installed: bash deploy/kafka/install.sh")
        self.data_dir.mkdir(parents=True, exist_ok=True)
        properties = self.data_dir / "server.properties"
        _ = properties.write_text(self._properties())
        if not (self.data_dir / "logs/meta.properties").exists():
            self._format(properties)

    def launch(self) -> None:
        """Start the broker and return at once. Raises: `BrokerError`."""
        self.prepare()
        properties = self.data_dir / "server.properties"
        with (self.data_dir / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._java("kafka.Kafka", str(properties), options=(*self._heap, *JVM)),
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                preexec_fn=die_with_parent,
                cwd=self.data_dir,
                # Ctrl-C in the terminal must not end the broker before those who still use it.
                start_new_session=True,
            )

    def stop(self) -> None:
        """Stop cleanly; kill after 20 seconds."""
        self.stop_within(20)

    def stop_within(self, seconds: float) -> None:
        """Stop cleanly; kill after so many seconds."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            _ = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        if self._process is not None:
            self._process.kill()
            _ = self._process.wait()
            self._process = None

    def _java(self, main_class: str, *arguments: str, options: Sequence[str] = ()) -> list[str]:
        quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
        return ["java", *options, quiet, "-cp", f"{LIBS}/*", main_class, *arguments]

    def _format(self, properties: Path) -> None:
        arguments = ["format", "-t", self._node.cluster, "-c", str(properties)]
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
        broker, node = f"PLAINTEXT://127.0.0.1:{self.port}", self._node
        values = {
            "process.roles": "broker,controller",
            "node.id": node.number,
            "controller.quorum.voters": node.voters,
            "listeners": f"{broker},CONTROLLER://127.0.0.1:{node.controller_port}",
            "advertised.listeners": broker,
            "controller.listener.names": "CONTROLLER",
            "log.dirs": self.data_dir / "logs",
            "offsets.topic.replication.factor": node.copies,
            # Kafka's 50 partitions for offsets would take most of the time of a start.
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": node.copies,
            "transaction.state.log.min.isr": min(2, node.copies),
            # Of the offsets of groups; the topics of the platform have a minimum of their own.
            "min.insync.replicas": min(2, node.copies),
            # A test's consumer does not wait three seconds for others of its group.
            "group.initial.rebalance.delay.ms": 0,
            # A misspelt topic has to fail.
            "auto.create.topics.enable": "false",
            # A broker that was killed may register again only when its session is over.
            "broker.session.timeout.ms": 2000,
            "broker.heartbeat.interval.ms": 300,
            # Kafka's 128 MiB are more than the whole heap here.
            "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
            # A read model is rebuilt from the first event on.
            "log.retention.ms": -1,
        }
        return "".join(f"{name}={value}\n" for name, value in values.items())

    def wait_ready(self, seconds: float = 60.0) -> None:
        """Return when the broker serves. Raises: `BrokerError` after so many seconds."""
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


class KafkaCluster:
    """Several brokers of one cluster, for what one alone cannot show: the loss of a broker."""

    def __init__(self, data_dir: Path, *, brokers: int = 3) -> None:
        self.brokers: list[KafkaBroker] = []
        for node in _nodes(brokers):
            folder = data_dir / str(node.number)
            self.brokers.append(KafkaBroker(folder, node=node, heap=SMALL_HEAP))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def bootstrap(self) -> str:
        return ",".join(broker.bootstrap for broker in self.brokers)

    @property
    def copies(self) -> int:
        """How many copies of a topic there can be, at most three."""
        return min(3, len(self.brokers))

    def start(self, wait: float = 90.0) -> None:
        """Start those that do not run, and return when all serve. Raises: `BrokerError`."""
        # All at once, because none serves before most of the controllers are there.
        # In parallel. The brokers themselves die with the thread that starts them.
        with ThreadPoolExecutor(len(self.brokers)) as pool:
            _ = list(pool.map(KafkaBroker.prepare, self.brokers))
        for broker in self.brokers:
            if broker.pid is None:
                broker.launch()
        for broker in self.brokers:
            broker.wait_ready(wait)

    def stop(self) -> None:
        """Stop all; those that cannot end cleanly, because the others have, are killed soon."""
        for broker in self.brokers:
            broker.stop_within(5)

    def kill(self) -> None:
        """SIGKILL to all of them at the same moment."""
        for broker in self.brokers:
            if broker.pid is not None:
                os.kill(broker.pid, signal.SIGKILL)
        for broker in self.brokers:
            broker.kill()


def some_brokers(data_dir: Path, *, number: int) -> KafkaBroker | KafkaCluster:
    """One broker alone, or a cluster of several."""
    if number == 1:
        return KafkaBroker(data_dir)
    return KafkaCluster(data_dir, brokers=number)


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
