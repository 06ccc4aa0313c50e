"""`tongban backup`, `restore` and `drill` on the databases of a whole day (logical sets)."""

import base64
import os
from collections.abc import Mapping
from pathlib import Path

import asyncpg
import orjson
import pytest

from deploy.operate.backup.create import Made, kind_for, make_set, remove_old
from deploy.operate.backup.drill import drill
from deploy.operate.backup.keys import Lock, fingerprint_of, open_keys
from deploy.operate.backup.manifest import (
    DESTROYED,
    KEYS,
    fault_of,
    newest_good,
    path_in,
    set_ids,
    write_manifest,
)
from deploy.operate.backup.restore import (
    check_set,
    restore_databases,
    restore_keys,
    restore_uploads,
)
from deploy.operate.backup.state import read_results, write_result
from deploy.operate.backup.store import BackupError, BackupStore
from deploy.operate.recount.command import as_table, status_of
from deploy.processes import SERVICES
from deploy.released import open_release
from shared.runtime.storage import Storage
from tests.deploy.conftest import NEWEST

pytestmark = pytest.mark.xdist_group("released")

LOCK = Lock(passphrase="a passphrase of some length")


def keys_of_release() -> dict[str, str]:
    kept = open_release(NEWEST).keys
    keys: dict[str, str] = {}
    for service in SERVICES:
        keys[f"{service.upper()}_DATA_KEY"] = kept.data
        keys[f"{service.upper()}_PLATFORM_KEY"] = kept.platform
    return keys


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("backup")


@pytest.fixture(scope="module")
async def made(folder: Path, kept_platform: Mapping[str, str]) -> tuple[BackupStore, Made]:
    """A logical set of all services."""
    uploads = folder / "uploads"
    storage = Storage(str(uploads))
    for content in (b"one", b"two", b"three"):
        _ = await storage.put(content)
    store = BackupStore(str(folder / "sets"))
    done = await make_set(
        store,
        kept_platform,
        kind="logical",
        keys=keys_of_release(),
        lock=LOCK,
        uploads=str(uploads),
    )
    return store, done


async def test_set_of_all_services_is_drilled(
    made: tuple[BackupStore, Made], kept_platform: Mapping[str, str]
) -> None:
    store, done = made

    drilled = await drill(store, lock=LOCK, url=kept_platform["cases"], patience=20)

    assert drilled.manifest.id == done.manifest.id
    assert drilled.uploads == 3
    assert status_of(drilled.report) == 0, as_table(drilled.report)
    assert set(drilled.manifest.services) == set(SERVICES)


async def test_manifest_tells_what_the_set_holds(made: tuple[BackupStore, Made]) -> None:
    store, done = made
    manifest = newest_good(store)

    assert manifest == done.manifest
    assert fault_of(store, manifest.id, thorough=True) is None
    assert {one.name for one in manifest.files} >= {f"{name}.dump" for name in SERVICES} | {KEYS}
    assert all(part.revision for part in manifest.services.values())
    assert manifest.person_keys is None


async def test_restore_refuses_databases_that_are_there(
    made: tuple[BackupStore, Made], kept_platform: Mapping[str, str], tmp_path: Path
) -> None:
    store, done = made
    server = kept_platform["cases"].rpartition("/")[0]

    with pytest.raises(BackupError, match="is not overwritten"):
        _ = await restore_databases(
            store, done.manifest, server_url=server, services=["cases"], work=tmp_path
        )


async def test_one_service_is_restored_alone(
    made: tuple[BackupStore, Made], kept_platform: Mapping[str, str], tmp_path: Path
) -> None:
    store, done = made
    server, _, name = kept_platform["matters"].rpartition("/")
    administration = await asyncpg.connect(f"{server}/postgres")
    _ = await administration.execute(f'ALTER DATABASE "{name}" RENAME TO "{name}_old"')

    urls = await restore_databases(
        store, done.manifest, server_url=server, services=["matters"], work=tmp_path
    )
    counts: list[int] = []
    for one in (urls["matters"], f"{urls['matters']}_old"):
        connection = await asyncpg.connect(one)
        counts.append(await connection.fetchval("SELECT count(*) FROM matter"))
        await connection.close()
    _ = await administration.execute(f'DROP DATABASE "{name}_old"')
    await administration.close()

    assert urls == {"matters": kept_platform["matters"]}
    assert counts[0] == counts[1] > 0


def test_keys_open_with_the_right_lock_alone(made: tuple[BackupStore, Made]) -> None:
    store, done = made
    content = store.get(path_in(done.manifest.id, KEYS))

    assert open_keys(content, LOCK, destroyed=frozenset()) == keys_of_release()
    assert open_release(NEWEST).keys.data.encode() not in content
    with pytest.raises(BackupError, match="is wrong"):
        _ = open_keys(content, Lock(passphrase="another passphrase"), destroyed=frozenset())
    with pytest.raises(BackupError, match="sealed with a scrypt"):
        _ = open_keys(content, Lock(recovery_key=b"k" * 32), destroyed=frozenset())


def test_destroyed_keys_come_back_with_no_restore(made: tuple[BackupStore, Made]) -> None:
    store, done = made
    gone = open_release(NEWEST).keys.data
    store.put(orjson.dumps([fingerprint_of(gone)]), DESTROYED)

    found = restore_keys(store, done.manifest, lock=LOCK)
    store.delete([DESTROYED])

    assert gone not in found.values()
    assert base64.b64decode(gone).hex() not in str(found)
    assert len(found) == len(SERVICES)


async def test_uploads_are_restored_by_their_digest(
    made: tuple[BackupStore, Made], tmp_path: Path
) -> None:
    store, done = made

    assert restore_uploads(store, done.manifest, target=str(tmp_path / "new")) == 3
    assert restore_uploads(store, done.manifest, target=str(tmp_path / "new")) == 0
    restored = Storage(str(tmp_path / "new"))
    digest = await restored.put(b"two")
    assert await restored.get(digest) == b"two"


async def test_server_that_may_not_replicate_is_dumped(kept_platform: Mapping[str, str]) -> None:
    server, _, name = kept_platform["cases"].rpartition("/")
    connection = await asyncpg.connect(kept_platform["cases"])
    _ = await connection.execute("DROP ROLE IF EXISTS plain")
    _ = await connection.execute("CREATE ROLE plain LOGIN PASSWORD 'plain-password'")
    plain = f"postgresql://plain:plain-password@{server.rpartition('@')[2]}/{name}"

    assert await kind_for({"cases": plain}) == "logical"
    assert await kind_for(kept_platform) == "physical"
    _ = await connection.execute("DROP ROLE plain")
    await connection.close()


def copy_set(store: BackupStore, made: Made, *, set_id: str) -> None:
    """The same set under another id."""
    for one in made.manifest.files:
        store.put(store.get(path_in(made.manifest.id, one.name)), path_in(set_id, one.name))
    write_manifest(store, made.manifest.model_copy(update={"id": set_id}))


def test_old_sets_go_and_a_good_one_stays(made: tuple[BackupStore, Made]) -> None:
    store, done = made
    old = ["20200101T000000000000Z", "20200102T000000000000Z"]
    for set_id in old:
        copy_set(store, done, set_id=set_id)
    half = "20200103T000000000000Z"
    store.put(b"x", path_in(half, "cases.dump"))

    assert remove_old(store, keep=2) == [old[0]]
    assert set_ids(store) == [old[1], half, done.manifest.id]

    damaged = path_in(done.manifest.id, KEYS)
    content = store.get(damaged)
    store.put(content[:-1] + b"?", damaged)
    # The newest is damaged: what is older may be all that is left.
    assert remove_old(store, keep=1) == []
    with pytest.raises(BackupError, match="damaged"):
        check_set(store, done.manifest)
    store.put(content, damaged)

    assert remove_old(store, keep=1) == [old[1], half]
    assert fault_of(store, done.manifest.id, thorough=True) is None
    assert len(store.sizes("uploads")) == 3


def test_results_are_metrics_and_a_failure_keeps_the_last_success(tmp_path: Path) -> None:
    write_result(tmp_path, "drill", good=True, seconds=2, more={"differences": 0})
    good = read_results(tmp_path)
    write_result(tmp_path, "drill", good=False, seconds=1, more={})
    bad = read_results(tmp_path)

    name = "tongban_drill_last_success_timestamp_seconds"
    assert bad[name] == good[name] > 1_700_000_000
    assert bad["tongban_drill_last_run_success"] == 0
    text = (tmp_path / "tongban_drill.prom").read_text()
    assert f"# TYPE {name} gauge" in text


async def test_upload_is_on_the_disk_before_it_is_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    real = os.fsync

    def noted(descriptor: int) -> None:
        flushed.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    digest = await Storage(str(tmp_path)).put(b"a file")

    folder = tmp_path / digest[:2]
    assert flushed == [str(folder / digest), str(folder), str(tmp_path)]
