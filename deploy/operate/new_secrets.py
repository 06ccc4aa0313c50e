"""Make the secrets of a new platform: `tongban new-secrets FOLDER`.

A file for each secret, as `docker-compose.yml` and the chart expect them. What is there already is
kept, so that the command may be given again when a new version needs one more.
"""

import base64
import os
import secrets
from pathlib import Path
from typing import Annotated

import typer

from deploy.command_line import explained_errors
from deploy.processes import SERVICES, secret_name


def _new_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def _new_url(role: str, *, server: str, database: str) -> str:
    # Without characters that would have to be escaped in a URL.
    return f"postgresql://{role}:{secrets.token_hex(24)}@{server}/{database}"


def new_secrets(server: str) -> dict[str, str]:
    """Name → value of everything; `server` is `host:port` of PostgreSQL."""
    values = {
        "postgres_password": secrets.token_hex(24),
        "backup_database_url": _new_url("tongban_backup", server=server, database="postgres"),
        secret_name("", "PLATFORM_KEY"): _new_key(),
    }
    for service in SERVICES:
        name = f"tongban_{service}"
        values[secret_name(service, "DATABASE_URL")] = _new_url(name, server=server, database=name)
        values[secret_name(service, "DATA_KEY")] = _new_key()
    return values


def write_missing(folder: Path, server: str) -> list[str]:
    """Write the secrets that are not there yet; returns their names.

    The folder is its owner's alone. The files in it can be read by all: an engine shows them to
    containers as they are, and there a process is neither their owner nor root.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    written: list[str] = []
    for name, value in new_secrets(server).items():
        path = folder / name
        if not path.exists():
            with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o444), "w") as file:
                _ = file.write(f"{value}\n")
            path.chmod(0o444)
            written.append(name)
    return written


def new_secrets_command(
    folder: Annotated[Path, typer.Argument(help="gets a file for each secret")],
    server: Annotated[str, typer.Option(help="host:port of PostgreSQL")] = "postgres:5432",
) -> None:
    """Make the passwords and keys of a new platform, each in a file of FOLDER."""
    with explained_errors(folder):
        written = write_missing(folder, server)
    for name in written:
        typer.echo(name)
    typer.echo(
        f"{folder}:新建 {len(written)} 个密钥文件。请离线备份:丢失密钥就无法读取个人数据。\n"
        f"{folder}: {len(written)} new secrets. Keep a copy offline:"
        " without the keys personal data cannot be read."
    )
