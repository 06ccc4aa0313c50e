"""PostgreSQL's own client programs: pg_dump, pg_restore, pg_basebackup."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from deploy.operate.backup.store import BackupError
from deploy.postgres import BIN


def program(name: str) -> str:
    """The path of a client program: from `PG_BIN`, else that of the embedded PostgreSQL."""
    folder = Path(os.environ.get("PG_BIN", BIN))
    return str(folder / name)


def connection_of(url: str) -> tuple[list[str], dict[str, str]]:
    """Arguments and environment with which these programs connect to the server of `url`."""
    parts = urlsplit(url)
    arguments = ["-h", parts.hostname or "127.0.0.1", "-p", str(parts.port or 5432)]
    arguments += ["-U", unquote(parts.username or "")]
    # The password goes through the environment: arguments are visible to every user.
    password = unquote(parts.password or "")
    return arguments, {**os.environ, "PGPASSWORD": password, "LC_ALL": "C"}


def database_of(url: str) -> str:
    return unquote(urlsplit(url).path.lstrip("/"))


def server_of(url: str) -> str:
    """The server of a database's URL, as a URL without the database."""
    return url.rpartition("/")[0]


def run(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """What the program prints. Raises: `BackupError` with its last words."""
    done = subprocess.run(
        command,
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        output = (done.stderr or done.stdout).strip()[-600:]
        raise BackupError(f"{Path(command[0]).name} 失败 / failed: {output}")
    return done.stdout
