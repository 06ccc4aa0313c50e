"""Make a backup set: `tongban backup`."""

import asyncio
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import asyncpg
import obstore
import orjson
from obstore.store import LocalStore, ObjectStore, from_url

from deploy.operate.backup import programs
from deploy.operate.backup.keys import Lock, seal_keys
from deploy.operate.backup.manifest import (
    KEYS,
    UPLOADS,
    Kind,
    Manifest,
    StoredFile,
    fault_of,
    path_in,
    read_manifest,
    set_ids,
    write_manifest,
)
from deploy.operate.backup.moment import one_moment
from deploy.operate.backup.store import BackupError, BackupStore, listed
from deploy.versions import current_version
from shared import clock

SLOT = "tongban_archive"
MAY_REPLICATE = "SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user"
SLOT_STATE = """
SELECT active, wal_status, current_setting('max_slot_wal_keep_size') AS bound
FROM pg_replication_slots WHERE slot_name = $1
"""


@dataclass(slots=True)
class Made:
    """A set that was made, and what an operator should know about it."""

    manifest: Manifest
    warnings: list[str] = field(default_factory=list[str])


async def may_replicate(url: str) -> bool:
    """Whether the role may copy the whole server."""
    connection = await asyncpg.connect(url, timeout=10)
    try:
        return bool(await connection.fetchval(MAY_REPLICATE))
    finally:
        await connection.close()


async def kind_for(databases: Mapping[str, str]) -> Kind:
    """`physical` where one server holds all databases and lets itself be copied."""
    servers = {programs.server_of(url) for url in databases.values()}
    if len(servers) == 1 and await may_replicate(next(iter(databases.values()))):
        return "physical"
    return "logical"


async def make_set(
    store: BackupStore,
    databases: Mapping[str, str],
    *,
    kind: Kind,
    keys: Mapping[str, str],
    lock: Lock,
    uploads: str | None,
    log: Path | None = None,
    work: Path | None = None,
) -> Made:
    """Copy databases, uploads and keys as one set.

    Args:
        uploads: the folder or URL of the uploads (`CASES_STORAGE_URL`); None leaves them out.
        log: the folder into which `tongban archive receive` writes, to be copied to other storage.
        work: where files lie while they are made; it needs room for one set.

    Raises: `BackupError`.
    """
    started = clock.now()
    set_id = started.strftime("%Y%m%dT%H%M%S%fZ")
    with tempfile.TemporaryDirectory(prefix="tongban-backup-", dir=work) as folder:
        staged = Path(folder)
        copy = _dump
        if kind == "physical":
            copy = _copy_server
        manifest = await copy(databases, staged, set_id=set_id, started=started)
        _write(staged / KEYS, seal_keys(keys, lock))
        # After the databases: every file that a row names was stored before the row.
        if uploads is not None:
            names = copy_uploads(store, uploads)
            manifest.uploads = len(names)
            _write(staged / UPLOADS, "\n".join(names).encode())
        if log is not None:
            _ = copy_log(store, log)
        _store_files(store, manifest, staged=staged)
    write_manifest(store, manifest)
    return Made(manifest, await _warnings(databases, kind))


async def _warnings(databases: Mapping[str, str], kind: Kind) -> list[str]:
    if kind == "logical":
        return []
    return await slot_warnings(next(iter(databases.values())))


def _write(path: Path, content: bytes) -> None:
    _ = path.write_bytes(content)


def _store_files(store: BackupStore, manifest: Manifest, *, staged: Path) -> None:
    for path in sorted(staged.iterdir()):
        size, digest = store.put_file(path, path_in(manifest.id, path.name))
        manifest.files.append(StoredFile(name=path.name, size=size, sha256=digest))


async def _dump(
    databases: Mapping[str, str], staged: Path, *, set_id: str, started: datetime
) -> Manifest:
    async with one_moment(databases) as snapshots:
        consistent = clock.now()
        for service, snapshot in snapshots.items():
            server, environment = programs.connection_of(databases[service])
            command = [programs.program("pg_dump"), "--format=custom", "--compress=gzip:1"]
            command += ["--no-owner", "--no-privileges", f"--snapshot={snapshot.name}"]
            command += [f"--file={staged / service}.dump", *server, "--no-password"]
            command.append(programs.database_of(databases[service]))
            _ = await asyncio.to_thread(programs.run, command, environment)
        return Manifest(
            id=set_id,
            version=str(current_version()),
            kind="logical",
            postgres=await _server_version(next(iter(databases.values()))),
            started_at=started,
            consistent_at=consistent,
            services={service: snapshot.part for service, snapshot in snapshots.items()},
            files=[],
            uploads=0,
        )


async def _copy_server(
    databases: Mapping[str, str], staged: Path, *, set_id: str, started: datetime
) -> Manifest:
    url = next(iter(databases.values()))
    server, environment = programs.connection_of(url)
    target = staged / "server"
    command = [programs.program("pg_basebackup"), "-D", str(target), "--format=tar", "--gzip"]
    # With the log of its own time, so that the set can be restored without the archive.
    command += ["--wal-method=stream", "--checkpoint=fast", "--no-password", *server]
    _ = await asyncio.to_thread(programs.run, command, environment)
    start = await asyncio.to_thread(_move_up, target)
    async with one_moment(databases) as snapshots:
        services = {service: snapshot.part for service, snapshot in snapshots.items()}
    return Manifest(
        id=set_id,
        version=str(current_version()),
        kind="physical",
        postgres=await _server_version(url),
        started_at=started,
        consistent_at=clock.now(),
        services=services,
        files=[],
        uploads=0,
        log_start=await _segment(url, start),
    )


def _move_up(copy: Path) -> str:
    """Move the files of the copy into the folder above; where in the log the copy begins."""
    described = orjson.loads((copy / "backup_manifest").read_bytes())
    for path in sorted(copy.iterdir()):
        _ = path.rename(copy.parent / path.name)
    copy.rmdir()
    return described["WAL-Ranges"][0]["Start-LSN"]


async def _server_version(url: str) -> int:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        return await connection.fetchval(
            "SELECT current_setting('server_version_num')::int / 10000"
        )
    finally:
        await connection.close()


async def _segment(url: str, place: str) -> str:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        return await connection.fetchval("SELECT pg_walfile_name($1::text::pg_lsn)", place)
    finally:
        await connection.close()


async def slot_warnings(url: str) -> list[str]:
    """What is wrong with the slot through which the log is archived."""
    connection = await asyncpg.connect(url, timeout=10)
    try:
        row = await connection.fetchrow(SLOT_STATE, SLOT)
    finally:
        await connection.close()
    if row is None:
        return [
            (
                "没有归档日志:只能恢复到备份的时刻(tongban archive receive)"
                " / no log is archived: only the moments of the sets can be restored"
            )
        ]
    warnings: list[str] = []
    if row["bound"] == "-1":
        warnings.append(
            "复制槽没有上限,归档停止时会写满数据库的磁盘:请设置 max_slot_wal_keep_size"
            " / the slot has no bound and may fill the database's disk while nobody receives:"
            " set max_slot_wal_keep_size"
        )
    if row["wal_status"] == "lost":
        warnings.append(
            "复制槽已失效,归档的日志有缺口:请删除该槽并重新开始归档,然后再做一次备份"
            " / the slot is lost and the archived log has a gap: drop it, receive again,"
            " and make another backup"
        )
    elif not row["active"]:
        warnings.append(
            "现在没有在归档日志 / nobody receives the log now (tongban archive receive)"
        )
    return warnings


def _storage(url: str) -> ObjectStore:
    if "://" in url:
        return from_url(url)
    folder = Path(url).resolve()
    if not folder.is_dir():
        raise BackupError(f"{folder} 不是文件夹 / is no folder (CASES_STORAGE_URL)")
    return LocalStore(folder)


def copy_uploads(store: BackupStore, source: str) -> list[str]:
    """Copy the files that the backup does not have yet; the names of all, sorted."""
    storage = _storage(source)
    there = store.sizes("uploads")
    names: list[str] = []
    for name, size in listed(storage):
        names.append(name)
        if there.get(f"uploads/{name}") != size:
            # One upload has at most 20 MiB.
            store.put(bytes(obstore.get(storage, name).bytes()), f"uploads/{name}")
    return sorted(names)


def copy_log(store: BackupStore, log: Path) -> int:
    """Copy segments of the log that the backup does not have yet; how many."""
    if store.folder is not None and log.resolve() == store.folder / "log":
        return 0
    there = store.sizes("log")
    copied = 0
    for path in sorted(log.iterdir()):
        name = f"log/{path.name}"
        # A segment that is not full yet changes, and is copied every time.
        if path.suffix == ".partial" or name not in there:
            _ = store.put_file(path, name)
            copied += 1
    return copied


def remove_old(store: BackupStore, *, keep: int) -> list[str]:
    """Remove all but the newest `keep` good sets, and what only they needed; the ids removed.

    The newest good set is read in full first, and nothing is removed while it is not sound. What
    is younger than the oldest set that stays is never touched: it may be in the making.
    """
    good = [one for one in set_ids(store) if fault_of(store, one, thorough=False) is None]
    kept = good[-max(keep, 1) :]
    if not kept or fault_of(store, kept[-1], thorough=True) is not None:
        return []
    removed = [one for one in set_ids(store) if one < kept[0]]
    for set_id in removed:
        store.delete(sorted(store.sizes(path_in(set_id, ""))))
    if removed:
        manifests = [read_manifest(store, one) for one in kept]
        _remove_uploads(store, manifests)
        _remove_log(store, manifests)
    return removed


def _remove_uploads(store: BackupStore, kept: list[Manifest]) -> None:
    # The newest set has just been made, and lists all files that are there.
    needed: set[str] = set()
    for manifest in kept:
        if any(one.name == UPLOADS for one in manifest.files):
            needed.update(store.get(path_in(manifest.id, UPLOADS)).decode().splitlines())
    if not needed:
        return
    gone: list[str] = []
    for name in store.sizes("uploads"):
        if name.removeprefix("uploads/") not in needed:
            gone.append(name)
    store.delete(gone)


def _remove_log(store: BackupStore, kept: list[Manifest]) -> None:
    starts = [manifest.log_start for manifest in kept if manifest.log_start is not None]
    if not starts:
        return
    # Names of segments begin with the timeline, in 8 digits; their order is in the rest.
    oldest = min(start[8:] for start in starts)
    gone: list[str] = []
    for name in store.sizes("log"):
        segment = name.removeprefix("log/")
        if len(segment) >= 24 and segment[8:24] < oldest:
            gone.append(name)
    store.delete(gone)
