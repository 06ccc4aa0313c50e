"""`tongban backup`, `tongban restore` and `tongban drill`."""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, TypeVar

import typer

from deploy.command_line import explained_errors
from deploy.operate.backup import create, keys, programs, restore
from deploy.operate.backup.drill import Drilled, drill
from deploy.operate.backup.manifest import Kind, Manifest, newest_good, read_manifest
from deploy.operate.backup.state import metrics_folder, write_result
from deploy.operate.backup.store import BackupError, BackupStore
from deploy.operate.databases import database_urls
from deploy.operate.recount.command import as_table, status_of
from shared import clock

T = TypeVar("T")

Root = Annotated[
    str, typer.Option(metavar="URL", help="folder or s3://bucket/prefix of the backups")
]
RecoveryKey = Annotated[
    Path | None,
    typer.Option(help="file with 32 bytes in base64 that seals the keys, instead of a passphrase"),
]
Work = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="where files lie while they are made")
]
Metrics = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="of Prometheus' textfile collector")
]
Until = Annotated[
    datetime | None, typer.Option(help="restore to this moment, in local time; else to the end")
]


def _measured(
    what: str,
    folder: Path | None,
    *,
    work: Callable[[], T],
    more: Callable[[T], dict[str, float]],
) -> T:
    """Do the work and write what it came to, also when it fails."""
    begun = time.monotonic()
    try:
        done = work()
    except BaseException:
        write_result(folder, what, good=False, seconds=time.monotonic() - begun, more={})
        raise
    values = more(done)
    good = not values.get("differences", 0) >= 1
    write_result(folder, what, good=good, seconds=time.monotonic() - begun, more=values)
    return done


def _size(made: create.Made) -> dict[str, float]:
    return {"last_size_bytes": float(sum(one.size for one in made.manifest.files))}


def backup_command(
    *,
    to: Root,
    uploads: Annotated[
        str | None,
        typer.Option(envvar="CASES_STORAGE_URL", help="folder or URL of the uploads"),
    ] = None,
    kind: Annotated[
        str, typer.Option(help="physical, logical, or auto: physical where the role may")
    ] = "auto",
    keep: Annotated[int, typer.Option(min=1, help="good sets that stay")] = 7,
    uploads_only: Annotated[
        bool, typer.Option("--uploads-only", help="only copy new uploads, between two sets")
    ] = False,
    log: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="of `archive receive`, if not in --to")
    ] = None,
    recovery_key: RecoveryKey = None,
    work: Work = None,
    metrics: Metrics = None,
) -> None:
    """Copy databases, uploads and keys as one set. 备份全部数据库、上传文件和密钥。"""
    if uploads is None:
        raise typer.BadParameter("请设置 / set CASES_STORAGE_URL", param_hint="--uploads")
    with explained_errors():
        store = BackupStore(to)
        if uploads_only:
            number = len(create.copy_uploads(store, uploads))
            typer.echo(f"备份中有 {number} 个上传文件 / the backup has {number} uploads")
            return
        databases = database_urls()
        lock = keys.lock_of(recovery_key)
        given = keys.keys_of_environment()
        chosen = asyncio.run(_kind(kind, databases))

        def make() -> create.Made:
            return asyncio.run(
                create.make_set(
                    store,
                    databases,
                    kind=chosen,
                    keys=given,
                    lock=lock,
                    uploads=uploads,
                    log=log,
                    work=work,
                )
            )

        made = _measured("backup", metrics_folder(metrics), work=make, more=_size)
        removed = create.remove_old(store, keep=keep)
    _tell_made(made, removed)


async def _kind(given: str, databases: dict[str, str]) -> Kind:
    if given == "auto":
        return await create.kind_for(databases)
    if given == "physical":
        return "physical"
    if given == "logical":
        return "logical"
    raise BackupError(f"--kind 须是 / must be physical, logical or auto, not {given!r}")


def _tell_made(made: create.Made, removed: list[str]) -> None:
    manifest = made.manifest
    size = sum(one.size for one in manifest.files) / 1024 / 1024
    typer.echo(
        f"已备份 {manifest.id}({manifest.kind},{size:.1f} MiB,{manifest.uploads} 个上传文件)"
        f" / made {manifest.id} ({manifest.kind}, {size:.1f} MiB, {manifest.uploads} uploads)"
    )
    if removed:
        typer.echo(f"已删除旧备份 / removed old sets: {', '.join(removed)}")
    for warning in made.warnings:
        typer.echo(f"注意 / warning: {warning}", err=True)


def _moment(until: datetime | None) -> datetime | None:
    if until is None or until.tzinfo is not None:
        return until
    return until.replace(tzinfo=clock.SHANGHAI)


def _chosen(store: BackupStore, set_id: str | None, *, until: datetime | None) -> Manifest:
    if set_id is not None:
        return read_manifest(store, set_id)
    return newest_good(store, until=until)


def restore_command(
    *,
    source: Annotated[str, typer.Option("--from", metavar="URL", help="where the backups lie")],
    data: Annotated[
        Path | None, typer.Option(metavar="NEW", help="data directory to make (physical set)")
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(metavar="URL", help="postgresql://role:password@host:port to restore into"),
    ] = None,
    service: Annotated[
        str | None, typer.Option(help="one service alone, into --server; else the whole platform")
    ] = None,
    set_id: Annotated[
        str | None, typer.Option("--set", help="id of the set; else the newest")
    ] = None,
    until: Until = None,
    uploads: Annotated[
        str | None, typer.Option(help="folder or URL to copy the uploads to")
    ] = None,
    keys_to: Annotated[
        Path | None, typer.Option("--keys", metavar="NEW", help="file to write the keys to")
    ] = None,
    recovery_key: RecoveryKey = None,
    work: Work = None,
) -> None:
    """Restore a set; never overwrites. 从备份恢复。"""
    with explained_errors():
        store = BackupStore(source)
        moment = _moment(until)
        manifest = _chosen(store, set_id, until=moment)
        restore.check_set(store, manifest)
        restore.refuse_to_overwrite(data, keys_to)
        # Before any data can be read: what was destroyed since stays destroyed.
        opened = restore.restore_keys(store, manifest, lock=keys.lock_of(recovery_key))
        with TemporaryDirectory(prefix="tongban-restore-", dir=work) as folder:
            where = asyncio.run(
                _restore(
                    store,
                    manifest,
                    data=data,
                    server=server,
                    service=service,
                    until=moment,
                    work=Path(folder),
                )
            )
        if keys_to is not None:
            restore.write_keys(opened, keys_to)
        if uploads is not None:
            number = restore.restore_uploads(store, manifest, target=uploads)
            typer.echo(f"已复制 {number} 个上传文件 / copied {number} uploads")
    typer.echo(where)


async def _restore(
    store: BackupStore,
    manifest: Manifest,
    *,
    data: Path | None,
    server: str | None,
    service: str | None,
    until: datetime | None,
    work: Path,
) -> str:
    """What was done and what comes next. Raises: `BackupError`."""
    _check_choice(manifest, server=server, service=service, until=until)
    if server is not None and manifest.kind == "logical":
        return await _load_dumps(store, manifest, service=service, server=server, work=work)
    url = next(iter(database_urls().values()))
    if service is not None and server is not None:
        await _restore_one(
            store, manifest, service=service, url=url, server=server, until=until, work=work
        )
        return _next_step(service)
    if data is None:
        raise BackupError("请给出 / give --data NEW (physical set)")
    running = await restore.restore_server(store, manifest, data=data, url=url, until=until)
    return (
        f"PostgreSQL 已在 127.0.0.1:{running.port} 运行,数据在 {data}"
        f" / PostgreSQL runs on 127.0.0.1:{running.port}, data in {data}\n"
        + _next_step("全部服务 / all services")
    )


def _check_choice(
    manifest: Manifest, *, server: str | None, service: str | None, until: datetime | None
) -> None:
    if service is not None and service not in manifest.services:
        raise BackupError(f"备份中没有服务 / the set has no service {service}")
    if until is not None and manifest.kind == "logical":
        raise BackupError("逻辑备份没有日志 / a logical set has no log: leave --until out")
    if server is None and (service is not None or manifest.kind == "logical"):
        raise BackupError("请给出 / give --server URL")


async def _load_dumps(
    store: BackupStore, manifest: Manifest, *, service: str | None, server: str, work: Path
) -> str:
    services = list(manifest.services)
    if service is not None:
        services = [service]
    _ = await restore.restore_databases(
        store, manifest, server_url=server.rstrip("/"), services=services, work=work
    )
    return _next_step(", ".join(services))


async def _restore_one(
    store: BackupStore,
    manifest: Manifest,
    *,
    service: str,
    url: str,
    server: str,
    until: datetime | None,
    work: Path,
) -> None:
    """Restore the whole server beside, and take one database out of it."""
    name = manifest.services[service].database
    await restore.create_databases(server.rstrip("/"), [name])
    scratch = await restore.restore_server(
        store, manifest, data=work / "data", url=url, until=until
    )
    try:
        dump = work / f"{service}.dump"
        arguments, environment = programs.connection_of(scratch.dsn(name))
        command = [programs.program("pg_dump"), "--format=custom", "--no-owner", "--no-privileges"]
        command += [f"--file={dump}", "--no-password", *arguments, name]
        _ = await asyncio.to_thread(programs.run, command, environment)
        restore.load_dump(dump, f"{server.rstrip('/')}/{name}")
    finally:
        scratch.stop()


def _next_step(what: str) -> str:
    return (
        f"已恢复 {what}。下一步:用恢复的密钥启动进程,等 /readyz 变绿,再运行 tongban recount;"
        "然后重新开始归档日志并做一次备份。\n"
        f"Restored {what}. Next: start the processes with the restored keys, wait for /readyz,"
        " and run tongban recount; then receive the log anew and make a backup."
    )


def drill_command(
    *,
    source: Annotated[str, typer.Option("--from", metavar="URL", help="where the backups lie")],
    until: Until = None,
    recovery_key: RecoveryKey = None,
    work: Work = None,
    metrics: Metrics = None,
) -> None:
    """Restore the newest set into a scratch place and recount there. 恢复演练。"""
    with explained_errors():
        store = BackupStore(source)
        lock = keys.lock_of(recovery_key)
        url = next(iter(database_urls().values()))

        def work_through() -> Drilled:
            return asyncio.run(drill(store, lock=lock, url=url, until=_moment(until), work=work))

        done = _measured("drill", metrics_folder(metrics), work=work_through, more=_differences)
    typer.echo(as_table(done.report))
    typer.echo(f"演练的备份 / drilled: {done.manifest.id}, {done.uploads} uploads")
    raise typer.Exit(status_of(done.report))


def _differences(done: Drilled) -> dict[str, float]:
    # What could not be judged is no success either.
    number = len(done.report.differences)
    if number == 0 and status_of(done.report) != 0:
        number = 1
    return {"differences": float(number)}
