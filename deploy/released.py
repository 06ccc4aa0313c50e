"""What a release keeps: its contracts, and the data of one day on the sample platform.

`python -m deploy.released keep` copies `docs/api/*.json` to `docs/api/released/<version>/`, and
writes `tests/released/<version>/data.tar.xz` from a running embedded platform on which the demo was
played. Later versions load these data, migrate them and read them (tests/released).

The archive holds, for each service, `<service>/contents.json` (`Contents`) and
`<service>/<table>.copy` (rows as COPY text); `bus/<topic>.jsonl` with the bytes of each event, one
a line, in the order of the log; the folder's `uploads/`; and `keys.json`, without which the
encrypted columns cannot be read.
"""

import asyncio
import io
import lzma
import shutil
import tarfile
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated

import asyncpg
import typer
from pydantic import BaseModel

from deploy.command_line import explained_errors, new_command
from deploy.embedded import BUS_DATABASE
from deploy.errors import DeployError
from deploy.processes import GATEWAY_PORT, SERVICES
from deploy.run_folder import VAR, RunningPlatform, find_platform
from deploy.versions import CONTRACTS, KEPT_CONTRACTS, KEPT_DATA, ROOT, Version, current_version
from shared.database import migrations

ARCHIVE = "data.tar.xz"

# Partitions are read through the table that they are part of. COPY takes no generated columns.
COLUMNS = """
SELECT relation.relname AS table, array_agg(attname::text ORDER BY attnum) AS columns
FROM pg_class relation JOIN pg_attribute ON attrelid = relation.oid
WHERE relation.relnamespace = 'public'::regnamespace AND relation.relkind IN ('r', 'p')
  AND NOT relation.relispartition AND relation.relname <> 'alembic_version'
  AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
GROUP BY relation.relname ORDER BY relation.relname
"""
SEQUENCES = """
SELECT sequencename AS name, last_value AS value FROM pg_sequences
WHERE schemaname = 'public' ORDER BY sequencename
"""
EVENTS = "SELECT topic, value FROM bus_log ORDER BY topic, log_offset"


class Contents(BaseModel):
    """What the archive has of one database."""

    revision: str
    """The Alembic revision at which the rows were read."""
    tables: dict[str, list[str]]
    """The columns of each table, in the order of the values in its rows."""
    sequences: dict[str, int | None]
    """The last value of each sequence; None when it has given none."""


class Keys(BaseModel):
    """The keys of the platform that was read, in base64."""

    data: str
    platform: str


class AlreadyKeptError(DeployError):
    """What a release has kept never changes."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} is there: this version is kept already. Set the next"
            " version in pyproject.toml, or remove the folder if the version is not released yet."
        )


class KeptData:
    """The archive in the folder of a release, opened: the content of each file by its name."""

    def __init__(self, folder: Path) -> None:
        self.files: dict[str, bytes] = {}
        with tarfile.open(folder / ARCHIVE, "r:xz") as archive:
            for member in archive:
                stream = archive.extractfile(member)
                if stream is not None:
                    self.files[member.name] = stream.read()

    @property
    def keys(self) -> Keys:
        return Keys.model_validate_json(self.files["keys.json"])

    def contents_of(self, service: str) -> Contents:
        return Contents.model_validate_json(self.files[f"{service}/contents.json"])

    def below(self, folder: str) -> dict[str, bytes]:
        """The files in a folder of the archive, by their path in that folder."""
        start = f"{folder}/"
        return {
            name.removeprefix(start): content
            for name, content in self.files.items()
            if name.startswith(start)
        }

    @property
    def events(self) -> list[bytes]:
        """The bytes of every event, each topic in the order of its log."""
        found: list[bytes] = []
        for lines in self.below("bus").values():
            found += lines.splitlines()
        return found


@lru_cache(maxsize=1)
def open_release(folder: Path) -> KeptData:
    """The archive of a release; the last one opened stays in memory, for its seven services."""
    return KeptData(folder)


async def load(release_folder: Path, service: str, *, url: str) -> None:
    """Make the empty database at `url` what the service's database was in that release.

    The tables are those of the release: the caller migrates them further.
    """
    kept = open_release(release_folder)
    contents = kept.contents_of(service)
    migrate = partial(migrations.upgrade, to=contents.revision)
    # Alembic is synchronous.
    await asyncio.to_thread(asyncio.run, migrations.run_on(url, migrate, service))
    async with _connection(url) as connection, connection.transaction():
        # Foreign keys form circles, so that no order of the tables would satisfy them. In this
        # mode PostgreSQL checks none, and fires no triggers.
        _ = await connection.execute("SET LOCAL session_replication_role = replica")
        # Migrations insert rows too (the inbox's group, the calendar).
        _ = await connection.execute(f"TRUNCATE {_quoted(contents.tables)}")
        for table, columns in contents.tables.items():
            rows = io.BytesIO(kept.files[f"{service}/{table}.copy"])
            _ = await connection.copy_to_table(table, source=rows, columns=columns)
        for name, value in contents.sequences.items():
            if value is not None:
                _ = await connection.execute("SELECT setval($1::regclass, $2)", name, value)


@asynccontextmanager
async def _connection(url: str) -> AsyncGenerator[asyncpg.Connection]:
    connection = await asyncpg.connect(url, timeout=5)
    try:
        yield connection
    finally:
        await connection.close()


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _select_all(table: str, columns: Sequence[str]) -> str:
    """All rows, sorted by their content: most ids rise with time, and the order is repeatable."""
    return f'SELECT {_quoted(columns)} FROM "{table}" AS kept ORDER BY kept::text COLLATE "C"'


async def read_database(url: str, service: str) -> dict[str, bytes]:
    """The service's part of the archive, all of it as at one moment."""
    files: dict[str, bytes] = {}
    async with (
        _connection(url) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        revision = await connection.fetchval("SELECT version_num FROM alembic_version")
        tables = {row["table"]: row["columns"] for row in await connection.fetch(COLUMNS)}
        sequences = {row["name"]: row["value"] for row in await connection.fetch(SEQUENCES)}
        for table, columns in tables.items():
            rows = io.BytesIO()
            _ = await connection.copy_from_query(_select_all(table, columns), output=rows)
            files[f"{service}/{table}.copy"] = rows.getvalue()
    contents = Contents(revision=revision, tables=tables, sequences=sequences)
    files[f"{service}/contents.json"] = contents.model_dump_json(indent=1).encode()
    return files


async def _read_bus(url: str) -> dict[str, bytes]:
    """The events of each topic, one a line. JSON without indentation has no line breaks."""
    files: dict[str, bytes] = {}
    async with _connection(url) as connection:
        for row in await connection.fetch(EVENTS):
            name = f"bus/{row['topic']}.jsonl"
            files[name] = files.get(name, b"") + row["value"] + b"\n"
    return files


async def read_platform(platform: RunningPlatform) -> dict[str, bytes]:
    """The files of the archive by their names. Raises: `DeployError`."""
    if platform.kind != "embedded":
        raise DeployError("only an embedded platform (make run) has its bus in a database")
    files: dict[str, bytes] = {}
    for service, url in platform.databases.items():
        files |= await read_database(url, service)
    server, _, _ = platform.databases[SERVICES[0]].rpartition("/")
    events = await _read_bus(f"{server}/{BUS_DATABASE}")
    if not events:
        raise DeployError("nothing has happened on this platform; play the demo on it first")
    uploads = platform.folder.path / "uploads"
    for path in uploads.rglob("*"):
        if path.is_file():
            files[f"uploads/{path.relative_to(uploads).as_posix()}"] = path.read_bytes()
    keys = Keys(data=platform.folder.key("data"), platform=platform.folder.key("platform"))
    return files | events | {"keys.json": keys.model_dump_json().encode()}


def pack(files: Mapping[str, bytes]) -> bytes:
    """A tar.xz whose bytes depend on nothing but names and contents."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files):
            # A new entry has no owner, and 1970 as its time.
            entry = tarfile.TarInfo(name)
            entry.size = len(files[name])
            archive.addfile(entry, io.BytesIO(files[name]))
    return lzma.compress(packed.getvalue(), preset=9 | lzma.PRESET_EXTREME)


def refuse_kept(folders: Iterable[Path]) -> None:
    """End when one of the folders is there. Raises: `AlreadyKeptError`."""
    for folder in folders:
        if folder.exists():
            raise AlreadyKeptError(folder)


def keep_release(platform: RunningPlatform, version: Version) -> Path:
    """Write what the version keeps; returns its archive. Raises: `DeployError`."""
    contracts, data = KEPT_CONTRACTS / str(version), KEPT_DATA / str(version)
    refuse_kept([contracts, data])
    content = pack(asyncio.run(read_platform(platform)))
    data.mkdir(parents=True)
    archive = data / ARCHIVE
    _ = archive.write_bytes(content)
    contracts.mkdir(parents=True)
    for path in sorted(CONTRACTS.glob("*.json")):
        _ = shutil.copyfile(path, contracts / path.name)
    return archive


cli = new_command()


@cli.callback()
def released() -> None:
    """Keep the contracts and the data of a release."""


@cli.command()
def keep(
    *,
    target: Annotated[
        str, typer.Option(metavar="URL", help="the embedded platform to read")
    ] = f"http://127.0.0.1:{GATEWAY_PORT}",
    under: Annotated[
        Path,
        typer.Option(
            "--data", metavar="FOLDER", show_default="var", help="folder below which its data lie"
        ),
    ] = VAR,
) -> None:
    """Keep the version of pyproject.toml, with the data of a platform that runs here."""
    with explained_errors():
        platform = find_platform(target, under)
        if platform is None:
            raise DeployError(
                f"no platform of this machine serves {target}; start one with make run"
            )
        version = current_version()
        archive = keep_release(platform, version)
    size = archive.stat().st_size
    typer.echo(f"kept {version}: {archive.relative_to(ROOT)} ({size:,} bytes), and its contracts")


if __name__ == "__main__":
    cli()
