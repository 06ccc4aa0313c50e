"""Restore a backup set: `tongban restore`."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

import asyncpg
import obstore
from obstore.store import LocalStore, ObjectStore, from_url

from deploy.operate.backup import programs
from deploy.operate.backup.keys import Lock, destroyed_of, open_keys
from deploy.operate.backup.manifest import (
    DESTROYED,
    KEYS,
    UPLOADS,
    Manifest,
    fault_of,
    path_in,
)
from deploy.operate.backup.store import BackupError, BackupStore, flush_file, listed
from deploy.postgres import EmbeddedPostgres, PostgresError, unprivileged_prefix
from deploy.run_folder import write_secret

IS_SUPERUSER = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
AT_LEAST = {
    "max_connections": "max_connections",
    "max_worker_processes": "max_worker_processes",
    "max_wal_senders": "max_wal_senders",
    "max_prepared_xacts": "max_prepared_transactions",
    "max_locks_per_xact": "max_locks_per_transaction",
}
"""As pg_controldata names them, and as the settings are named."""
NO_STANDBY = {"synchronous_standby_names": "''"}


def check_set(store: BackupStore, manifest: Manifest) -> None:
    """Read every file of the set before anything is written. Raises: `BackupError`."""
    fault = fault_of(store, manifest.id, thorough=True)
    if fault is not None:
        raise BackupError(f"备份 {manifest.id} 已损坏 / the set {manifest.id} is damaged: {fault}")


def refuse_to_overwrite(*paths: Path | None) -> None:
    """Raises: `BackupError` when one of them is there."""
    for path in paths:
        if path is not None and path.exists():
            raise BackupError(
                f"{path} 已存在,不会覆盖:请先移走,它可能还有用"
                f" / {path} is there and is not overwritten; move it away first,"
                " it may still be needed"
            )


def restore_keys(store: BackupStore, manifest: Manifest, *, lock: Lock) -> dict[str, str]:
    """The keys of the set by the name of their setting, without those destroyed since.

    Raises: `BackupError`.
    """
    destroyed = None
    if store.has(DESTROYED):
        destroyed = store.get(DESTROYED)
    content = store.get(path_in(manifest.id, KEYS))
    return open_keys(content, lock, destroyed=destroyed_of(destroyed))


def write_keys(keys: Mapping[str, str], path: Path) -> None:
    """Write the keys as an environment file that only its owner may read."""
    lines = [f"{name}={value}" for name, value in sorted(keys.items())]
    write_secret(path, ("\n".join(lines) + "\n").encode())


async def restore_server(
    store: BackupStore,
    manifest: Manifest,
    *,
    data: Path,
    url: str,
    until: datetime | None,
    settings: Mapping[str, str] | None = None,
) -> EmbeddedPostgres:
    """Make a data directory from a physical set and the archived log, and start a server on it.

    Returns when it takes writes.

    Args:
        url: of a database on the copied server; the copy knows the same role and password.
        until: the moment to restore to; None means the end of the archived log.
        settings: further ones of the server.

    Raises: `BackupError`, `PostgresError`.
    """
    refuse_to_overwrite(data)
    if until is not None and until < manifest.consistent_at:
        raise BackupError(
            f"备份 {manifest.id} 晚于 {until} / the set {manifest.id} is younger than {until}"
        )
    parts = urlsplit(url)
    server = EmbeddedPostgres(data, settings=settings, user=unquote(parts.username or ""))
    write_secret(server.password_file, unquote(parts.password or "").encode())
    await asyncio.to_thread(_unpack, store, manifest, data=data)
    recovery = await asyncio.to_thread(_recovery, store, manifest, data=data, until=until)
    server.settings |= recovery
    try:
        await _start(server)
    finally:
        # A later start must not ask the archive again.
        for setting in recovery:
            _ = server.settings.pop(setting, None)
        shutil.rmtree(_log_folder(data), ignore_errors=True)
    return server


async def _start(server: EmbeddedPostgres) -> None:
    """Start it and wait until it takes writes."""
    try:
        await asyncio.to_thread(server.start)
        await asyncio.to_thread(server.wait_for_writes)
        await _forget_standby(server)
    except BaseException:
        with contextlib.suppress(PostgresError):
            server.stop()
        raise


def _unpack(store: BackupStore, manifest: Manifest, *, data: Path) -> None:
    # By the user that the server will run as, so that the files belong to it.
    prefix = unprivileged_prefix()
    data.parent.mkdir(parents=True, exist_ok=True)
    _ = programs.run([*prefix, "mkdir", "-m", "700", str(data)], os.environ)
    for name, target in (("base.tar.gz", data), ("pg_wal.tar.gz", data / "pg_wal")):
        packed = data.with_name(f"{data.name}.{name}")
        _ = store.get_file(path_in(manifest.id, name), packed)
        command = [*prefix, "tar", "-xzf", str(packed), "-C", str(target), "--no-same-owner"]
        _ = programs.run(command, os.environ)
        packed.unlink()
    _complete(data, prefix)


def _complete(data: Path, prefix: Sequence[str]) -> None:
    # Distributions keep their settings elsewhere, so that the copy may have none.
    _ = programs.run([*prefix, "touch", str(data / "postgresql.conf")], os.environ)
    hba = data / "pg_hba.conf"
    if not hba.exists() or "127.0.0.1/32" not in hba.read_text():
        _ = hba.write_text("host all all 127.0.0.1/32 scram-sha-256\n")
        hba.chmod(0o644)


def _log_folder(data: Path) -> Path:
    return data.with_name(f"{data.name}.archived")


def _least_settings(data: Path) -> dict[str, str]:
    """Settings that recovery wants at least as high as the copied server had them."""
    command = [programs.program("pg_controldata"), "-D", str(data)]
    settings: dict[str, str] = {}
    for line in programs.run(command, {**os.environ, "LC_ALL": "C"}).splitlines():
        name, _, value = line.partition(" setting:")
        if name in AT_LEAST and value:
            settings[AT_LEAST[name]] = value.strip()
    return settings


async def _forget_standby(server: EmbeddedPostgres) -> None:
    """Without the receiver of the old server every commit would wait for ever."""
    connection = await asyncpg.connect(server.dsn("postgres"), timeout=10)
    try:
        if await connection.fetchval(IS_SUPERUSER):
            _ = await connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
    finally:
        await connection.close()


def _recovery(
    store: BackupStore, manifest: Manifest, *, data: Path, until: datetime | None
) -> dict[str, str]:
    """The settings with which the server replays the archived log, which is fetched."""
    settings = {**NO_STANDBY, **_least_settings(data)}
    names = [name for name in store.sizes("log") if _is_since(name, manifest.log_start)]
    if not names:
        if until is not None:
            raise BackupError(
                "没有归档日志,只能恢复到备份的时刻 / no log was archived: leave --until out"
            )
        return settings
    fetch = _fetch_log(store, names, log=_log_folder(data))
    settings["restore_command"] = f"'{fetch} %f %p'"
    if until is not None:
        moment = until.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00")
        settings["recovery_target_time"] = f"'{moment}'"
        settings["recovery_target_action"] = "promote"
    command = [*unprivileged_prefix(), "touch", str(data / "recovery.signal")]
    _ = programs.run(command, os.environ)
    return settings


def _fetch_log(store: BackupStore, names: Sequence[str], *, log: Path) -> Path:
    """Copy these segments into a folder; the command that gives one of them to the server."""
    log.mkdir()
    log.chmod(0o755)
    for name in names:
        # The last segment is not full, and its name says so. Recovery asks for the plain name.
        path = log / name.removeprefix("log/").removesuffix(".partial")
        _ = store.get_file(name, path)
    fetch = log / "fetch"
    _ = fetch.write_text(f'#!/bin/sh\nexec cp "{log.resolve()}/$1" "$2"\n')
    fetch.chmod(0o755)
    return fetch


def _is_since(name: str, start: str | None) -> bool:
    segment = name.removeprefix("log/")
    if segment.endswith(".history") or start is None:
        return True
    return segment[8:24] >= start[8:]


async def create_databases(server_url: str, names: Sequence[str]) -> None:
    """Make empty databases.

    Raises: `BackupError` when one of them is there already; then nothing is changed.
    """
    administration = await asyncpg.connect(f"{server_url}/postgres", timeout=10)
    try:
        rows = await administration.fetch("SELECT datname FROM pg_database")
        taken = ", ".join(sorted({row["datname"] for row in rows} & set(names)))
        if taken:
            raise BackupError(
                f"数据库 {taken} 已存在,不会覆盖:请先改名(ALTER DATABASE … RENAME TO …)"
                f" / {taken} is there and is not overwritten; rename it first"
            )
        for name in names:
            _ = await administration.execute(f'CREATE DATABASE "{name}"')
    finally:
        await administration.close()


async def restore_databases(
    store: BackupStore,
    manifest: Manifest,
    *,
    server_url: str,
    services: Sequence[str],
    work: Path,
) -> dict[str, str]:
    """Make databases from a logical set on the server of this URL; their URLs by service.

    Raises: `BackupError` when one of them is there already; then nothing is changed.
    """
    names = {service: manifest.services[service].database for service in services}
    await create_databases(server_url, list(names.values()))
    urls: dict[str, str] = {}
    for service, name in names.items():
        urls[service] = f"{server_url}/{name}"
        dump = work / f"{service}.dump"
        _ = store.get_file(path_in(manifest.id, f"{service}.dump"), dump)
        await asyncio.to_thread(load_dump, dump, urls[service])
        dump.unlink()
    return urls


def load_dump(dump: Path, url: str) -> None:
    """Fill an empty database. Raises: `BackupError`."""
    server, environment = programs.connection_of(url)
    command = [programs.program("pg_restore"), "--exit-on-error", "--no-owner", "--no-privileges"]
    command += ["--no-password", *server, f"--dbname={programs.database_of(url)}", str(dump)]
    _ = programs.run(command, environment)


def restore_uploads(store: BackupStore, manifest: Manifest, *, target: str) -> int:
    """Copy the uploads of the set that the target lacks; how many. Raises: `BackupError`."""
    if not any(one.name == UPLOADS for one in manifest.files):
        return 0
    storage: ObjectStore
    folder: Path | None = None
    if "://" in target:
        storage = from_url(target)
    else:
        folder = Path(target).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        storage = LocalStore(folder)
    there: set[str] = set()
    for name, _size in listed(storage):
        there.add(name)
    copied = 0
    for name in store.get(path_in(manifest.id, UPLOADS)).decode().splitlines():
        if name not in there:
            _ = obstore.put(storage, name, store.get(f"uploads/{name}"))
            if folder is not None:
                flush_file(folder / name)
            copied += 1
    return copied
