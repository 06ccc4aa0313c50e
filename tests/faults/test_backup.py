"""F7: the database's disk is gone.

The archive brings back everything that was acknowledged, and nothing else is lost.
"""

import asyncio
import os
import random
import signal
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import asyncpg
import pytest

from deploy.operate.archive import STANDBY, Archive
from deploy.operate.backup.create import make_set
from deploy.operate.backup.drill import Drilled, drill
from deploy.operate.backup.keys import Lock
from deploy.operate.backup.store import BackupStore
from deploy.operate.recount.command import as_table, status_of
from deploy.operate.recount.compare import recount
from deploy.postgres import EmbeddedPostgres, PostgresError
from shared import clock
from shared.database import migrations
from tests.faults.invariant import Invariant
from tests.faults.load import Load
from tests.faults.platform import DATABASES, Platform, until

LOCK = Lock(recovery_key=b"r" * 32)
pytestmark = [pytest.mark.xdist_group("stack"), pytest.mark.timeout(600)]


def ask(server: EmbeddedPostgres, statement: str) -> object:
    async def run() -> object:
        connection = await asyncpg.connect(server.dsn("postgres"))
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(run())


@contextmanager
def archived(server: EmbeddedPostgres, archive: Archive) -> Generator[None]:
    """A base copy, and from then on no commit that the archive does not hold."""
    receiver = archive.receive(server.dsn("postgres"))
    try:
        archive.take_base(server.dsn("postgres"))
        _ = ask(server, f"ALTER SYSTEM SET synchronous_standby_names = '{STANDBY}'")
        _ = ask(server, "SELECT pg_reload_conf()")
        waits = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
        _ = until("the receiver is the synchronous standby", lambda: ask(server, waits) == 1)
        yield
    finally:
        receiver.send_signal(signal.SIGTERM)
        _ = receiver.wait(10)


def test_restored_database_holds_everything_acknowledged(
    platform: Platform, invariant: Invariant
) -> None:
    server = platform.postgres
    with (
        tempfile.TemporaryDirectory(
            prefix="tongban-archive-", ignore_cleanup_errors=True
        ) as folder,
        Load(platform, seed=90210) as load,
    ):
        archive = Archive(Path(folder))
        with archived(server, archive):
            reached = len(platform.acknowledged) + 80
            _ = until(
                "work goes on while it is archived",
                lambda: load.check() or len(platform.acknowledged) >= reached,
            )
            server.kill()
            lost = server.data_dir.rename(server.data_dir.with_name("lost"))
        archive.restore(server)
        reached = len(platform.acknowledged) + 20
        _ = until(
            "work goes on after the restore",
            lambda: load.check() or len(platform.acknowledged) >= reached,
        )
        load.rest()

        invariant.holds()
    assert lost.exists()
    assert ask(server, "SHOW synchronous_standby_names") == ""


def test_read_model_is_rebuilt_equal_from_the_topics(
    platform: Platform, invariant: Invariant
) -> None:
    invariant.holds()
    url = platform.postgres.dsn("tongban_assessment")

    _ = ask(platform.postgres, "DROP DATABASE tongban_assessment WITH (FORCE)")
    platform.postgres.create_databases(["tongban_assessment"])
    asyncio.run(migrations.run_on(url, migrations.upgrade, "assessment"))

    invariant.holds()


def test_restore_never_touches_data_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()

    with pytest.raises(PostgresError, match="is there; move it away first"):
        Archive(tmp_path / "archive").restore(EmbeddedPostgres(tmp_path / "data"))


def drilled(store: BackupStore, databases: Mapping[str, str], until: datetime | None) -> Drilled:
    return asyncio.run(drill(store, lock=LOCK, url=databases["cases"], until=until, patience=300))


# It takes minutes, so only `make faults` plays it. tests/deploy/test_backup.py has short drills.
@pytest.mark.skipif(not os.environ.get("FAULT_EACH"), reason="only with make faults (FAULT_EACH)")
@pytest.mark.timeout(1200)
def test_drill_is_equal_at_random_moments_under_load(
    platform: Platform, invariant: Invariant, seed: int
) -> None:
    dice = random.Random(seed)
    databases = {name: platform.postgres.dsn(f"tongban_{name}") for name in DATABASES}
    moments: list[datetime] = []
    with (
        tempfile.TemporaryDirectory(prefix="tongban-sets-", ignore_cleanup_errors=True) as folder,
        Load(platform, seed=seed) as load,
    ):
        store = BackupStore(folder)
        receiver = Archive(Path(folder)).receive(platform.postgres.dsn("postgres"))
        try:
            made = asyncio.run(
                make_set(
                    store,
                    databases,
                    kind="physical",
                    keys=platform_keys(platform),
                    lock=LOCK,
                    uploads=None,
                )
            )
            for _ in range(3):
                time.sleep(dice.uniform(0.5, 2.5))
                load.check()
                moments.append(clock.now())
            # While the work goes on nothing is wrong, and nothing looks so.
            report = asyncio.run(recount(databases, patience=5))
            reached = len(platform.acknowledged) + 20
            _ = until("work goes on", lambda: len(platform.acknowledged) >= reached)
            load.rest()
            _ = ask(platform.postgres, "SELECT pg_switch_wal()")
            time.sleep(1)
        finally:
            receiver.send_signal(signal.SIGTERM)
            _ = receiver.wait(10)
        found = [drilled(store, databases, moment) for moment in moments]
    _ = ask(platform.postgres, "SELECT pg_drop_replication_slot('tongban_archive')")

    assert made.manifest.kind == "physical"
    for one in found:
        assert status_of(one.report) == 0, as_table(one.report)
        assert sum(result.rows for result in one.report.results) > 100
    assert report.differences == [], as_table(report)
    invariant.holds()


def platform_keys(platform: Platform) -> dict[str, str]:
    keys: dict[str, str] = {}
    for service in DATABASES:
        keys[f"{service.upper()}_DATA_KEY"] = platform.folder.key("data")
        keys[f"{service.upper()}_PLATFORM_KEY"] = platform.folder.key("platform")
    return keys
