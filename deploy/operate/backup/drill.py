"""The drill: restore the newest set into a scratch place, recount there, and remove it."""

import asyncio
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from deploy.operate.backup.keys import Lock
from deploy.operate.backup.manifest import UPLOADS, Manifest, newest_good, path_in
from deploy.operate.backup.restore import (
    check_set,
    restore_databases,
    restore_keys,
    restore_server,
)
from deploy.operate.backup.settle import settling
from deploy.operate.backup.store import BackupError, BackupStore
from deploy.operate.recount.compare import Report, recount
from deploy.postgres import EmbeddedPostgres

PATIENCE = 300.0
"""Seconds for the facts that were under way at the moment of the set."""


@dataclass(frozen=True, slots=True)
class Drilled:
    """What a drill found."""

    manifest: Manifest
    report: Report
    uploads: int


async def drill(
    store: BackupStore,
    *,
    lock: Lock,
    url: str,
    until: datetime | None = None,
    work: Path | None = None,
    patience: float = PATIENCE,
) -> Drilled:
    """Restore the newest set that fits `until`, and count again in it.

    Args:
        url: a database's URL on the server that was copied: its role can log in to the copy, too.
        work: where the scratch place is made; it needs room for the unpacked set.

    Raises: `BackupError` when the set cannot be restored.
    """
    manifest = newest_good(store, until=until)
    check_set(store, manifest)
    keys = restore_keys(store, manifest, lock=lock)
    uploads = _check_uploads(store, manifest)
    with tempfile.TemporaryDirectory(
        prefix="tongban-drill-", dir=work, ignore_cleanup_errors=True
    ) as folder:
        scratch = Path(folder)
        server = await _restore(store, manifest, scratch=scratch, url=url, until=until)
        try:
            databases = await _databases_of(store, manifest, server=server, scratch=scratch)
            async with settling(databases, keys):
                report = await recount(databases, patience=patience)
        finally:
            server.stop()
    return Drilled(manifest, report, uploads)


async def _restore(
    store: BackupStore, manifest: Manifest, *, scratch: Path, url: str, until: datetime | None
) -> EmbeddedPostgres:
    # A scratch server that a power cut ends is simply made anew.
    settings = {"fsync": "off", "full_page_writes": "off", "max_connections": "300"}
    if manifest.kind == "physical":
        return await restore_server(
            store, manifest, data=scratch / "data", url=url, until=until, settings=settings
        )
    if until is not None:
        raise BackupError("逻辑备份没有日志 / a logical set has no log: leave --until out")
    server = EmbeddedPostgres(scratch / "data", settings=settings)
    await asyncio.to_thread(server.start)
    return server


async def _databases_of(
    store: BackupStore, manifest: Manifest, *, server: EmbeddedPostgres, scratch: Path
) -> dict[str, str]:
    if manifest.kind == "physical":
        return {name: server.dsn(part.database) for name, part in manifest.services.items()}
    return await restore_databases(
        store,
        manifest,
        server_url=server.dsn("postgres").rpartition("/")[0],
        services=list(manifest.services),
        work=scratch,
    )


def _check_uploads(store: BackupStore, manifest: Manifest) -> int:
    """Every upload of the set is there; how many. Raises: `BackupError`."""
    if not any(one.name == UPLOADS for one in manifest.files):
        return 0
    listed = store.get(path_in(manifest.id, UPLOADS)).decode().splitlines()
    there = store.sizes("uploads")
    missing = [name for name in listed if f"uploads/{name}" not in there]
    if missing:
        raise BackupError(
            f"备份中缺 {len(missing)} 个上传文件 / {len(missing)} uploads are missing,"
            f" first {missing[0]}"
        )
    return len(listed)
