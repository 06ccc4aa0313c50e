"""A database without a free connection or without space.

The answer is 503 with Retry-After, no work is half done, and the service recovers by itself.
"""

import shutil
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from sqlalchemy import text

from deploy import postgres as embedded
from deploy.postgres import EmbeddedPostgres
from services.cases.main import build
from shared.database.session import Database
from shared.security.tokens import TokenVerifier
from tests.cases.conftest import StackFixture
from tests.conftest import (
    FAST,
    ClientFactory,
    Databases,
    ServiceClient,
    TokenFactory,
    service_settings,
)

EFFECTS = (
    "SELECT (SELECT count(*) FROM case_file), (SELECT count(*) FROM outbox),"
    " (SELECT count(*) FROM idempotency)"
)
FILL = "INSERT INTO filler SELECT repeat('x', 1000) FROM generate_series(1, $1::int)"
LIMITED = (
    'mount -t tmpfs -o size=4m,mode=0700 none "$0"'
    ' && exec unshare --user --map-user=1000 --map-group=1000 "$@"'
)
"""Runs a command beside a file system of 4 MB of its own.

Inside, the command is an ordinary user, whom PostgreSQL accepts.
"""


async def a_stack_fixture(
    client_of: ClientFactory, token: TokenFactory, folder: Path, **settings: Any
) -> StackFixture:
    client = await client_of(
        "cases", development=True, storage_url=str(folder / "uploads"), **settings
    )
    stack = StackFixture(client, token)
    await stack.publish()
    return stack


async def effects(database: Database) -> tuple[int, ...]:
    async with database.reading() as session:
        return tuple((await session.execute(text(EFFECTS))).one())


async def test_pool_exhausted_is_503_and_passes(
    client_of: ClientFactory, token: TokenFactory, tmp_path: Path
) -> None:
    stack = await a_stack_fixture(client_of, token, tmp_path, pool_size=1)
    body = await stack.application(stack.citizen)

    async with stack.client.database.transaction() as session:
        _ = await session.execute(text("SELECT 1"))
        refused = await stack.post(body, stack.citizen)
    accepted = await stack.post(body, stack.citizen)

    assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
    assert accepted.status_code == 201
    assert await effects(stack.client.database) == (1, 2, 1)


def limited(folder: Path) -> list[str]:
    return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", LIMITED, str(folder)]


@pytest.fixture
def small_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Generator[tuple[EmbeddedPostgres, Path]]:
    """A server that sees a disk of 4 MB at the path."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if (
        not shutil.which("unshare")
        or subprocess.run([*limited(folder), "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("this machine allows no file system of one's own")
    monkeypatch.setattr(embedded, "unprivileged_prefix", lambda _data_dir=None: limited(folder))
    with EmbeddedPostgres(tmp_path / "data", settings=FAST) as server:
        yield server, folder


async def test_disk_full_is_503_without_half_work_and_passes(
    small_disk: tuple[EmbeddedPostgres, Path],
    verifier: TokenVerifier,
    token: TokenFactory,
    tmp_path: Path,
) -> None:
    server, folder = small_disk
    _, url = await Databases(server).fresh("cases")
    owner = await asyncpg.connect(url)
    _ = await owner.execute(f"CREATE TABLESPACE small LOCATION '{folder}'")
    _ = await owner.execute("ALTER TABLE outbox SET TABLESPACE small")
    _ = await owner.execute("CREATE TABLE filler (content text) TABLESPACE small")
    app = build(
        service_settings("cases", url, storage_url=str(tmp_path / "uploads")), verifier=verifier
    )
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        ServiceClient(transport=transport, base_url="http://test") as client,
    ):
        client.database = app.state.database
        stack = StackFixture(client, token)
        await stack.publish()
        body = await stack.application(stack.citizen)
        for rows in (100, 1):
            with pytest.raises(asyncpg.DiskFullError):
                while True:
                    _ = await owner.execute(FILL, rows)

        refused = await stack.post(body, stack.citizen)
        left = await effects(client.database)
        _ = await owner.execute("DROP TABLE filler")
        accepted = await stack.post(body, stack.citizen)
        done = await effects(client.database)
    await owner.close()

    assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
    assert left == (0, 0, 0)
    assert (accepted.status_code, done) == (201, (1, 2, 1))
