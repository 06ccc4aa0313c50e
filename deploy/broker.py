"""A real Apache Kafka broker on this machine: one process, broker and controller at once (KRaft).

For `make stack` and the tests; the jars come from `deploy/kafka/install.sh`. A broker killed hard is back in seconds
because its session times out after two (production keeps Kafka's defaults).
"""

import base64
import contextlib
import ctypes
import signal
import socket
import struct
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Self

from deploy.postgres import free_port

ROOT = Path(__file__).resolve().parent.parent
LIBS = ROOT / "var/kafka/libs"
HEAP = ("-Xms128m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
# ApiVersions, version 0: the smallest request a broker answers only when it is ready to serve.
API_VERSIONS = struct.pack(">hhih", 18, 0, 1, -1)


class BrokerError(RuntimeError):
    """The broker cannot run; the text says what to do."""


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies, so that nothing is left behind (PR_SET_PDEATHSIG)."""
    with contextlib.suppress(OSError, AttributeError):
        _ = ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class KafkaBroker:
    """One broker with its data in `data_dir`; a stopped or killed one starts again with the same port and data."""

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
        return self._process.pid if self._process else None

    def start(self, wait: float = 60.0) -> None:
        """Start the broker and wait until it serves."""
        if not any(LIBS.glob("kafka_*.jar")):
            raise BrokerError("Kafka is not installed: bash deploy/kafka/install.sh")
        self.data_dir.mkdir(parents=True, exist_ok=True)
        properties = self.data_dir / "server.properties"
        _ = properties.write_text(self._properties())
        if not (self.data_dir / "logs/meta.properties").exists():
            self._format(properties)
        log = (self.data_dir / "broker.log").open("ab")
        self._process = subprocess.Popen(
            self._java("kafka.Kafka", str(properties), options=HEAP),
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            preexec_fn=die_with_parent,
            cwd=self.data_dir,
        )
        log.close()
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

    def restart(self) -> None:
        self.stop()
        self.start()

    def _java(self, main_class: str, *arguments: str, options: tuple[str, ...] = ()) -> list[str]:
        quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
        return ["java", *options, quiet, "-cp", f"{LIBS}/*", main_class, *arguments]

    def _format(self, properties: Path) -> None:
        done = subprocess.run(
            self._java(
                "kafka.tools.StorageTool", "format", "-t", _cluster_id(), "-c", str(properties)
            ),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise BrokerError(
                f"Kafka's storage could not be formatted: {done.stderr[-500:] or done.stdout[-500:]}"
            )

    def _properties(self) -> str:
        values = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller_port}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self._controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": self.data_dir / "logs",
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            "auto.create.topics.enable": "false",
            "broker.session.timeout.ms": 2000,
            "broker.heartbeat.interval.ms": 300,
            "log.retention.ms": -1,
        }
        return "".join(f"{name}={value}\n" for name, value in values.items())

    def _wait_until_ready(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._answers():
            if (
                self._process is None
                or self._process.poll() is not None
                or time.monotonic() > deadline
            ):
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


def _cluster_id() -> str:
    """A random id in Kafka's form; one that begins with a dash would be read as an option."""
    while (made := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith(
        "-"
    ):
        pass
    return made


def main(arguments: list[str]) -> int:
    """`run [--data DIR] [--port N]`: serve until SIGTERM or SIGINT."""
    options = dict(zip(arguments[1::2], arguments[2::2], strict=False))
    if arguments[:1] != ["run"]:
        print(main.__doc__)
        return 2
    port = int(options.get("--port", "9092"))
    try:
        with KafkaBroker(Path(options.get("--data", "var/kafka/data")), port) as broker:
            print(f"Kafka on {broker.bootstrap}")
            _ = signal.sigwait({signal.SIGINT, signal.SIGTERM})
    except BrokerError as error:
        _ = sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
