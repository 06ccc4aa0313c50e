"""The embedded PostgreSQL.

It keeps its data, is adopted after a crash of its supervisor, and says what to do when it cannot
run.
"""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import asyncpg
import pytest
from typer.testing import CliRunner

from deploy.postgres import NOBODY, OTHER_USER, EmbeddedPostgres, PostgresError, cli


@pytest.fixture
def server(tmp_path: Path) -> Generator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path / "data", settings={"fsync": "off"})
    yield server
    server.stop()


def query(server: EmbeddedPostgres, statement: str) -> object:
    async def run() -> object:
        connection = await asyncpg.connect(server.dsn("postgres"))
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(run())


def test_data_outlives_a_stop_and_a_kill(server: EmbeddedPostgres) -> None:
    server.start()
    _ = query(server, "CREATE TABLE kept (n int)")
    _ = query(server, "INSERT INTO kept VALUES (7)")

    server.stop()
    server.start()
    after_stop = query(server, "SELECT n FROM kept")
    server.kill()
    server.start()

    assert (after_stop, query(server, "SELECT n FROM kept")) == (7, 7)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
def test_root_without_namespaces_serves_as_another_user(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.data_dir.parent.chmod(0o700)
    monkeypatch.setattr("deploy.postgres.WAYS", (("false",), OTHER_USER))

    server.start()
    _ = query(server, "CREATE TABLE kept (n int)")
    server.kill()
    server.start()

    assert query(server, "SELECT count(*) FROM kept") == 0
    assert server.data_dir.stat().st_uid == int(NOBODY)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
def test_cluster_of_another_user_is_served_where_namespaces_work_again(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as forbidden:
        forbidden.setattr("deploy.postgres.WAYS", (("false",), OTHER_USER))
        server.start()
        server.stop()

    later = EmbeddedPostgres(server.data_dir)
    later.start()
    answered = query(later, "SELECT 1")
    later.stop()

    assert answered == 1


def test_root_without_any_way_is_told_what_to_do(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("deploy.postgres.WAYS", (("false",),))

    with pytest.raises(PostgresError, match="Start as an ordinary"):
        server.start()


def test_running_server_is_adopted_and_stopped(server: EmbeddedPostgres) -> None:
    server.start()
    second = EmbeddedPostgres(server.data_dir)

    second.start()
    adopted = (second.port, second.postmaster())
    expected = (server.port, server.postmaster())
    second.stop()

    assert adopted == expected
    assert server.postmaster() is None


def test_stale_pid_file_of_another_process_is_not_believed(server: EmbeddedPostgres) -> None:
    server.start()
    server.stop()
    other = subprocess.Popen(["sleep", "30"])
    lines = [
        str(other.pid),
        str(server.data_dir),
        "1",
        str(server.port),
        "/tmp",
        "127.0.0.1",
        "1 1",
        "ready",
    ]
    _ = (server.data_dir / "postmaster.pid").write_text("\n".join(lines))

    server.start()
    answered = query(server, "SELECT 1")
    other.kill()
    _ = other.wait()

    assert answered == 1


def test_password_file_is_private_and_needed(server: EmbeddedPostgres) -> None:
    server.start()

    mode = (server.data_dir.parent / "data.password").stat().st_mode & 0o777
    with pytest.raises(asyncpg.InvalidPasswordError):
        asyncio.run(_connect(server.dsn("postgres").replace(server.password, "wrong")))

    assert mode == 0o600


async def _connect(url: str) -> None:
    await (await asyncpg.connect(url)).close()


def test_data_of_another_version_is_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    _ = (tmp_path / "data/PG_VERSION").write_text("15\n")

    with pytest.raises(PostgresError, match=r"PostgreSQL 15.*pg_dumpall"):
        EmbeddedPostgres(tmp_path / "data").start()


def test_taken_port_is_refused_with_advice(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(PostgresError, match=f"port {port}.*taken"):
            EmbeddedPostgres(tmp_path / "data", port=port).start()


def test_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    _ = (tmp_path / "file").write_text("")

    with pytest.raises(PostgresError, match="cannot write"):
        EmbeddedPostgres(tmp_path / "file/data").start()


def test_command(tmp_path: Path) -> None:
    data = ["--data", str(tmp_path / "data")]
    verbs = ("status", "start", "status", "stop", "status", "nonsense")

    results = [CliRunner().invoke(cli, [verb, *data]) for verb in verbs]

    assert [result.exit_code for result in results] == [3, 0, 0, 0, 3, 2]
    assert "running, process" in results[2].output
    assert sys.version_info >= (3, 11)
