"""Backup without loss: a base copy of PostgreSQL, and every byte of its log as it is committed.

`tongban archive base|receive|restore …` (docs/operations.md says when and how). While
`receive` runs as the synchronous standby that `synchronous_standby_names` asks for, a commit is
acknowledged only when the archive holds it. So what was answered with success is in the archive,
and a restore loses nothing. Uploads and keys are files beside it and are copied as files.
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from deploy.command_line import explained_errors, new_command
from deploy.operate.backup.programs import connection_of, run
from deploy.postgres import BIN, EmbeddedPostgres, PostgresError, unprivileged_prefix
from deploy.run_folder import write_secret

SLOT = "tongban_archive"
STANDBY = "pg_receivewal"
"""The name by which `synchronous_standby_names` knows the receiver."""


class Archive:
    """A folder with `base/`, `log/` and `password`.

    `base/` is a copy of the cluster, `log/` its write-ahead log since then, segment by segment.
    """

    def __init__(self, folder: Path) -> None:
        self.base = folder / "base"
        self.log = folder / "log"
        self._password = folder / "password"

    def receive(self, url: str) -> subprocess.Popen[bytes]:
        """Start to receive the log, after an interruption from where it ended.

        The process runs until it is stopped. Raises: `DeployError`.
        """
        self.log.mkdir(parents=True, exist_ok=True)
        server, environment = connection_of(url)
        program = [str(BIN / "pg_receivewal"), "-D", str(self.log), "--slot", SLOT, "--no-password"]
        _ = run([*program, "--create-slot", "--if-not-exists", *server], environment)
        # With --synchronous it confirms each flush, which is what a waiting commit needs.
        return subprocess.Popen([*program, "--synchronous", *server], env=environment)

    def take_base(self, url: str) -> None:
        """Copy the running cluster. Raises: `DeployError`.

        `receive` must run, because the copy needs the log of the time in which it is made.
        """
        if self.base.exists():
            raise PostgresError(f"{self.base} holds a copy already; move it away first")
        server, environment = connection_of(url)
        arguments = ["-D", str(self.base), "-X", "none", "-c", "fast", "--no-password", *server]
        _ = run([str(BIN / "pg_basebackup"), *arguments], environment)
        if not self._password.exists():
            write_secret(self._password, environment["PGPASSWORD"].encode())

    def restore(self, server: EmbeddedPostgres) -> None:
        """Make the data directory of `server` from copy and log, and start it.

        Returns when it takes writes again. Raises: `DeployError`.
        """
        if server.data_dir.exists():
            raise PostgresError(
                f"{server.data_dir} is there; move it away first, it may still be needed"
            )
        prefix = unprivileged_prefix()
        # By the user that the server will run as, so that the files belong to it.
        _ = run([*prefix, "cp", "-a", str(self.base), str(server.data_dir)], os.environ)
        if not server.password_file.exists():
            write_secret(server.password_file, self._password.read_bytes())
        for part in self.log.glob("*.partial"):
            # The last segment is not full, and its name says so. Recovery asks for the plain name.
            _ = shutil.copyfile(part, part.with_suffix(""))
        fetch = server.data_dir.parent / f"{server.data_dir.name}.fetch"
        _ = fetch.write_text(f'#!/bin/sh\nexec cp "{self.log.resolve()}/$1" "$2"\n')
        fetch.chmod(0o755)
        _ = run([*prefix, "touch", str(server.data_dir / "recovery.signal")], os.environ)
        server.settings["restore_command"] = f"'{fetch} %f %p'"
        try:
            server.start()
            server.wait_for_writes()
        finally:
            # A later start must not ask the archive again.
            del server.settings["restore_command"]


DatabaseUrl = Annotated[
    str, typer.Option("--url", metavar="URL", help="postgresql://… of the server")
]
To = Annotated[Path, typer.Option("--to", metavar="FOLDER", help="folder of the archive")]
cli = new_command()


@cli.callback()
def archive() -> None:
    """Copy a PostgreSQL server without loss, and restore it."""


@cli.command("base")
def base_command(url: DatabaseUrl, to: To) -> None:
    """Copy the running cluster into the archive."""
    with explained_errors():
        Archive(to).take_base(url)


@cli.command("receive")
def receive_command(url: DatabaseUrl, to: To) -> None:
    """Receive the log until it is stopped."""
    with explained_errors():
        status = Archive(to).receive(url).wait()
    raise typer.Exit(status)


@cli.command("restore")
def restore_command(
    source: Annotated[Path, typer.Option("--from", metavar="FOLDER", help="folder of the archive")],
    data: Annotated[Path, typer.Option("--data", metavar="NEW", help="data directory to make")],
) -> None:
    """Make a new data directory from the archive and start a server on it."""
    server = EmbeddedPostgres(data)
    with explained_errors():
        Archive(source).restore(server)
    typer.echo(f"restored; PostgreSQL runs on 127.0.0.1:{server.port}, data in {server.data_dir}")
