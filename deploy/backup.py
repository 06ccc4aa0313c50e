"""Backup without loss: a base copy of PostgreSQL, and every byte of its log as it is committed.

`python -m deploy.backup base|receive|restore …` (docs/operations.md tells when and how). While `receive` runs as the synchronous
standby that `synchronous_standby_names` asks for, a commit is acknowledged only when the archive holds it: what was answered
with success is in the archive, so a restore loses nothing. Uploads and keys are files beside it and are copied as files.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from deploy.place import write_secret
from deploy.postgres import BIN, EmbeddedPostgres, PostgresError, as_postgres_may

SLOT = "tongban_archive"
STANDBY = "pg_receivewal"
"""The name by which `synchronous_standby_names` knows the receiver."""
SYNCHRONOUS = {"synchronous_standby_names": STANDBY}


def _reach(url: str) -> tuple[list[str], dict[str, str]]:
    """Arguments and environment by which PostgreSQL's own programs reach the server of `url`."""
    parts = urlsplit(url)
    where = [
        "-h",
        parts.hostname or "127.0.0.1",
        "-p",
        str(parts.port or 5432),
        "-U",
        unquote(parts.username or ""),
    ]
    return where, {**os.environ, "PGPASSWORD": unquote(parts.password or ""), "LC_ALL": "C"}


def _run(command: list[str], environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        command,
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise PostgresError(
            f"{Path(command[0]).name} failed: {(done.stderr or done.stdout).strip()[-600:]}"
        )


class Archive:
    """A folder with `base/` (a copy of the cluster), `log/` (its write-ahead log since, segment by segment), `password`."""

    def __init__(self, folder: Path) -> None:
        self.base = folder / "base"
        self.log = folder / "log"
        self._password = folder / "password"

    def receive(self, url: str) -> subprocess.Popen[bytes]:
        """Start to receive the log, from now on and after every interruption from where it ended. Runs until it is ended."""
        self.log.mkdir(parents=True, exist_ok=True)
        where, environment = _reach(url)
        program = [str(BIN / "pg_receivewal"), "-D", str(self.log), "--slot", SLOT, "--no-password"]
        _run([*program, "--create-slot", "--if-not-exists", *where], environment)
        # The receiver says its name as the program does; it answers each flush, which is what a waiting commit needs.
        return subprocess.Popen([*program, "--synchronous", *where], env=environment)

    def take_base(self, url: str) -> None:
        """A copy of the running cluster; `receive` must be at work, because the copy needs the log of its own time."""
        if self.base.exists():
            raise PostgresError(f"{self.base} holds a copy already; move it away first")
        where, environment = _reach(url)
        arguments = ["-D", str(self.base), "-X", "none", "-c", "fast", "--no-password", *where]
        _run([str(BIN / "pg_basebackup"), *arguments], environment)
        if not self._password.exists():
            write_secret(self._password, environment["PGPASSWORD"].encode())

    def restore(self, server: EmbeddedPostgres) -> None:
        """Make the data directory of `server` from copy and log, start it, and return when it takes writes again."""
        if server.data_dir.exists():
            raise PostgresError(
                f"{server.data_dir} is there; move it away first, it may still be needed"
            )
        prefix = as_postgres_may()
        _run([*prefix, "cp", "-a", str(self.base), str(server.data_dir)], os.environ)
        if not server.password_file.exists():
            write_secret(server.password_file, self._password.read_bytes())
        for part in self.log.glob("*.partial"):
            # The last segment is not full; its name says so, and recovery asks for it without.
            _ = shutil.copyfile(part, part.with_suffix(""))
        fetch = server.data_dir.parent / f"{server.data_dir.name}.fetch"
        _ = fetch.write_text(f'#!/bin/sh\nexec cp "{self.log.resolve()}/$1" "$2"\n')
        fetch.chmod(0o755)
        _run([*prefix, "touch", str(server.data_dir / "recovery.signal")], os.environ)
        server.settings["restore_command"] = f"'{fetch} %f %p'"
        try:
            server.start()
            server.wait_for_writes()
        finally:
            del server.settings["restore_command"]


def main(arguments: list[str]) -> int:
    """`base --url postgresql://… --to DIR`, `receive --url … --to DIR`, or `restore --from DIR --data NEW`."""
    verb, options = (
        (arguments or [""])[0],
        dict(zip(arguments[1::2], arguments[2::2], strict=False)),
    )
    try:
        if verb == "restore":
            server = EmbeddedPostgres(Path(options["--data"]))
            Archive(Path(options["--from"])).restore(server)
            print(
                f"restored; PostgreSQL runs on 127.0.0.1:{server.port}, data in {server.data_dir}"
            )
        elif verb == "base":
            Archive(Path(options["--to"])).take_base(options["--url"])
        elif verb == "receive":
            return Archive(Path(options["--to"])).receive(options["--url"]).wait()
        else:
            print(main.__doc__)
            return 2
    except KeyError as missing:
        print(f"{missing} is missing: {main.__doc__}")
        return 2
    except PostgresError as error:
        _ = sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
