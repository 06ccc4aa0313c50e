"""F7: the database's disk is gone.

The archive brings back everything that was acknowledged, and nothing else is lost.
"""

import asyncio
import signal
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from deploy.operate.archive import STANDBY, Archive
from deploy.postgres import EmbeddedPostgres, PostgresError
from shared.database import migrations
from tests.faults.invariant import Invariant
from tests.faults.load import Load
from tests.faults.platform import Platform, until

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
