"""The folder of one platform on this machine: data, port, keys, lock, and how others find it."""

import base64
import fcntl
import os
import secrets
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import orjson

from deploy.errors import DeployError
from deploy.postgres import is_free
from deploy.processes import REGION_PORT_OFFSET

VAR = Path(__file__).resolve().parent.parent / "var"

Kind = Literal["embedded", "stack"]


class FolderInUseError(DeployError):
    """Another platform runs in the folder."""

    def __init__(self, folder: Path, pid: str) -> None:
        super().__init__(
            f"数据目录 {folder} 正由另一个通办进程(进程号 {pid})使用。请先停止它,"
            "或者换一个目录和端口:--data 目录 --port 端口(用 make 时:DATA=目录 PORT=端口)。\n"
            f"The data folder {folder} is in use by another Tongban process (pid {pid})."
            " Stop that one first, or use another folder and port:"
            " --data FOLDER --port PORT (with make: DATA=FOLDER PORT=PORT)."
        )


class PortTakenError(DeployError):
    """Something else listens on a port that the platform needs."""

    def __init__(self, port: int, purpose: str) -> None:
        super().__init__(
            f"127.0.0.1 的端口 {port}({purpose})已被占用。请停止占用它的程序(可用 ss -ltnp 查看),"
            "或者换一个端口:--port 端口(用 make 时:PORT=端口)。\n"
            f"Port {port} on 127.0.0.1 ({purpose}) is taken. Stop what uses it (ss -ltnp shows it),"
            " or choose another port: --port PORT (with make: PORT=PORT)."
        )


@dataclass(frozen=True)
class RunFolder:
    """`path` holds everything of one platform; its gateway listens on `port` of 127.0.0.1."""

    path: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def regional_url(self) -> str:
        """Where a simulator of the regional platform is expected."""
        return f"http://127.0.0.1:{self.port + REGION_PORT_OFFSET}"

    @property
    def account_file(self) -> Path:
        """Sample accounts with their secrets, readable by the owner alone."""
        return self.path / "accounts.json"

    @property
    def state_file(self) -> Path:
        return self.path / "platform.json"

    @property
    def lock_file(self) -> Path:
        return self.path / "run.lock"

    @contextmanager
    def locked(self) -> Generator[None]:
        """Keep every other run out of the folder. Raises: `FolderInUseError`."""
        self.path.mkdir(parents=True, exist_ok=True)
        # Appending, because opening must not erase the process id of the run that holds the lock.
        with self.lock_file.open("a+", encoding="ascii") as file:
            try:
                # The kernel frees this lock when the process ends, however it ends.
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _ = file.seek(0)
                raise FolderInUseError(self.path, file.read() or "?") from None
            _ = file.truncate(0)
            _ = file.write(str(os.getpid()))
            file.flush()
            yield

    def refuse_second_run(self) -> None:
        """Make nothing, but end if the folder is in use. Raises: `FolderInUseError`."""
        if self.lock_file.exists():
            with self.locked():
                pass

    def key(self, name: Literal["data", "platform"]) -> str:
        """A key of 32 bytes in base64, made at its first use.

        `data` encrypts personal data at rest, `platform` seals what events carry.
        """
        path = self.path / f"{name}.key"
        if not path.exists():
            write_secret(path, base64.b64encode(secrets.token_bytes(32)))
        return path.read_text().strip()

    def write_state(self, kind: Kind, databases: Mapping[str, str], *, kafka: str = "") -> None:
        """Note what runs here, for the operator's commands; `kafka` is the broker's address."""
        # A run that was killed has left its own.
        self.remove_state()
        state = {"url": self.url, "kind": kind, "databases": dict(databases)}
        if kafka:
            state["kafka"] = kafka
        write_secret(self.state_file, orjson.dumps(state))

    def remove_state(self) -> None:
        self.state_file.unlink(missing_ok=True)


@dataclass(frozen=True)
class RunningPlatform:
    """A platform that runs on this machine, and the URLs of its services' databases."""

    folder: RunFolder
    kind: Kind
    databases: dict[str, str]


def write_secret(path: Path, content: bytes) -> None:
    """Write a new file that only its owner may read. Raises: `FileExistsError`."""
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        _ = file.write(content)


def find_platform(url: str, under: Path = VAR) -> RunningPlatform | None:
    """The platform below the folder `under` that serves `url`."""
    for path in under.glob("*/platform.json"):
        state = orjson.loads(path.read_bytes())
        port = int(state["url"].rpartition(":")[2])
        # A platform that was killed leaves its state behind, but nothing listens there.
        if state["url"] == url.rstrip("/") and not is_free(port):
            return RunningPlatform(RunFolder(path.parent, port), state["kind"], state["databases"])
    return None


def refuse_taken_ports(purposes: Mapping[int, str]) -> None:
    """End when one of the ports is in use; each with what it is for. Raises: `PortTakenError`."""
    for port, purpose in purposes.items():
        if not is_free(port):
            raise PortTakenError(port, purpose)
