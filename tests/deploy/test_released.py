"""`python -m deploy.released keep`: what it writes, and what it refuses."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from deploy import released
from deploy.embedded import BUS_DATABASE
from deploy.errors import DeployError
from deploy.postgres import EmbeddedPostgres
from deploy.released import AlreadyKeptError, keep_release, open_release, pack
from deploy.run_folder import RunFolder, RunningPlatform
from deploy.versions import Version
from shared.messaging.local_bus import SCHEMA
from tests.conftest import Databases

VERSION = Version(0, 1, 0)
EVENT = '{"specversion": "1.0"}'


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder below which releases are kept here."""
    monkeypatch.setattr(released, "KEPT_CONTRACTS", tmp_path / "contracts")
    monkeypatch.setattr(released, "KEPT_DATA", tmp_path / "data")
    return tmp_path


@pytest.fixture
def platform(postgres: EmbeddedPostgres, databases: Databases, tmp_path: Path) -> RunningPlatform:
    """A platform of one service, on which nothing has happened yet."""
    postgres.create_databases([BUS_DATABASE])
    execute(postgres.dsn(BUS_DATABASE), f"{SCHEMA}; TRUNCATE bus_log")
    _, url = asyncio.run(databases.fresh("identity"))
    folder = RunFolder(tmp_path / "run", 8000)
    (folder.path / "uploads/ab").mkdir(parents=True)
    _ = (folder.path / "uploads/ab/abc").write_bytes(b"a page")
    return RunningPlatform(folder, "embedded", {"identity": url})


def execute(url: str, statement: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(url)
        _ = await connection.execute(statement)
        await connection.close()

    asyncio.run(run())


def publish(postgres: EmbeddedPostgres) -> None:
    execute(
        postgres.dsn(BUS_DATABASE), f"INSERT INTO bus_log VALUES ('tongban.a', 0, 'k', '{EVENT}')"
    )


def test_release_keeps_rows_events_uploads_keys_and_contracts(
    platform: RunningPlatform, postgres: EmbeddedPostgres, kept: Path
) -> None:
    publish(postgres)

    archive = keep_release(platform, VERSION)
    data = open_release(archive.parent)

    assert archive == kept / "data/0.1.0/data.tar.xz"
    assert data.contents_of("identity").tables["inbox_group"] == ["id"]
    assert len(data.files["identity/inbox_group.copy"].splitlines()) == 1
    assert data.events == [EVENT.encode()]
    assert data.below("uploads") == {"ab/abc": b"a page"}
    assert data.keys.data == platform.folder.key("data")
    assert (kept / "contracts/0.1.0/cases.openapi.json").exists()


@pytest.mark.parametrize("folder", ["contracts", "data"])
def test_version_that_is_kept_already_is_refused(
    platform: RunningPlatform, kept: Path, folder: str
) -> None:
    (kept / folder / "0.1.0").mkdir(parents=True)

    with pytest.raises(AlreadyKeptError, match="kept already"):
        _ = keep_release(platform, VERSION)


def test_platform_on_which_nothing_happened_is_refused(
    platform: RunningPlatform, kept: Path
) -> None:
    with pytest.raises(DeployError, match="play the demo"):
        _ = keep_release(platform, VERSION)

    assert not (kept / "data").exists()


def test_platform_with_kafka_is_refused(platform: RunningPlatform) -> None:
    stack = RunningPlatform(platform.folder, "stack", platform.databases)

    with pytest.raises(DeployError, match="only an embedded platform"):
        _ = keep_release(stack, VERSION)


def test_archive_depends_on_nothing_but_names_and_contents() -> None:
    files = {"b": b"2", "a": b"1"}

    assert pack(files) == pack(dict(sorted(files.items())))
