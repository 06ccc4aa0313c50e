"""Releases replace each other under load, on the data of the last release: no request fails.

The last release runs on its own data. Its database is migrated under it, this code runs beside it,
then alone. Then the next release comes the same way, writes, and is rolled back: this code goes on
with the schema and the data of the next one. That next release is this code with one more
migration. docs/operations.md says which way back there is, and this test goes no other.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import aiohttp
import asyncpg
import orjson
import pytest

from deploy.broker import die_with_parent
from deploy.postgres import EmbeddedPostgres, free_port
from deploy.released import load, open_release
from deploy.versions import KEPT_DATA, kept_releases
from shared.city import SAMPLE
from shared.database.schema import history
from tests.builders.matters import CITY, DEPARTMENT
from tests.builders.tokens import TestKeys
from tests.faults.errands import a_pushed_case
from tests.faults.platform import DURABLE, GATEWAY, HOURS, serve_keys, until

pytestmark = [pytest.mark.xdist_group("stack"), pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
LAST = KEPT_DATA / str(kept_releases(KEPT_DATA)[-1])
CODE = ("services", "shared", "gateway", "pyproject.toml")
PUSHERS = 4
NEXT_MIGRATION = '''"""What a next release adds."""

from alembic import op

revision = "cases_next"
down_revision = "{before}"


def upgrade():
    op.execute("ALTER TABLE case_file ADD COLUMN colour text NOT NULL DEFAULT 'red'")
'''


def released_code(folder: Path) -> Path:
    """The code of the last release, out of the history of this clone."""
    find = ["git", "log", "--format=%H", f"--grep=^Release {LAST.name}$"]
    found = subprocess.run(find, cwd=ROOT, capture_output=True, text=True, check=False)
    commit, _, _ = found.stdout.partition("\n")
    if not commit:
        pytest.skip(f"the commit of release {LAST.name} is not in this clone (a shallow one?)")
    content = subprocess.run(
        ["git", "archive", commit, *CODE], cwd=ROOT, capture_output=True, check=False
    )
    if content.returncode:
        pytest.skip(f"the files of release {LAST.name} are not in this clone")
    with tarfile.open(fileobj=BytesIO(content.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


def next_code(folder: Path) -> Path:
    """This code and one more migration."""
    for name in CODE[:-1]:
        ignored = shutil.ignore_patterns("__pycache__")
        _ = shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    _ = shutil.copy(ROOT / CODE[-1], folder)
    planted = folder / "services/cases/migrations/versions/20991231_next.py"
    _ = planted.write_text(NEXT_MIGRATION.format(before=history("cases")[0]))
    return folder


class City:
    """A database, and the processes on it: each of a release's code, on a port of its own."""

    def __init__(self, folder: Path, postgres: EmbeddedPostgres, jwks: str) -> None:
        self.url = postgres.dsn("cases")
        self.port = free_port()
        self._folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.ports = {name: free_port() for name in ("last", "now", "next", "worker")}
        keys = open_release(LAST).keys
        self._environment = {
            "PATH": os.environ["PATH"],
            "CASES_DATABASE_URL": self.url,
            "CASES_DATA_KEY": keys.data,
            "CASES_PLATFORM_KEY": keys.platform,
            "CASES_JWKS_URL": jwks,
            "CASES_CITY_FILE": str(SAMPLE),
            "CASES_BUS": "local",
            "CASES_BUS_DATABASE_URL": postgres.dsn("bus"),
            "CASES_STORAGE_URL": str(folder / "uploads"),
            "CASES_DRAIN_SECONDS": "1",
            **GATEWAY,
            "GATEWAY_CITY_FILE": str(SAMPLE),
            "GATEWAY_JWKS_URL": jwks,
            "GATEWAY_REVOCATIONS_URL": f"{jwks}revocations",
            "GATEWAY_PORT": str(self.port),
            "GATEWAY_UPSTREAMS": orjson.dumps(
                {"cases": [at(self.ports[name]) for name in ("last", "now", "next")]}
            ).decode(),
        }

    def launch(self, name: str, module: str, *, code: Path = ROOT) -> None:
        settings: dict[str, str] = {}
        if name in self.ports:
            port = str(self.ports[name])
            settings = {"CASES_PORT": port, "CASES_WORKER_PORT": port}
        with (self._folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", module],
                cwd=code,
                env={**self._environment, **settings},
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
            )

    def end(self, name: str) -> None:
        process = self._running.pop(name)
        process.terminate()
        _ = process.wait(30)

    def end_all(self) -> None:
        for process in self._running.values():
            process.kill()
            _ = process.wait()

    def status(self, port: int) -> int:
        """What `/readyz` there answers; 0 when nothing does."""
        try:
            return asyncio.run(_status(f"{at(port)}/readyz"))
        except (aiohttp.ClientError, TimeoutError):
            return 0

    def wait_ready(self, name: str) -> None:
        _ = until(f"{name} is ready", lambda: self.status(self.ports[name]) == 200, 120)

    def migrate(self, code: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "shared.database.migrations", "upgrade", "cases"],
            cwd=code,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def at(port: int) -> str:
    return f"http://127.0.0.1:{port}"


async def _status(url: str) -> int:
    timeout = aiohttp.ClientTimeout(total=5)
    async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as answer:
        return answer.status


class Pushes:
    """A bureau's system that pushes cases through the gateway, each request once."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self.taken: set[str] = set()
        self.failed: list[str] = []
        self._url = f"{url}/api/v1/cases/imports"
        self._headers = headers
        self._end = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._work()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(30)

    async def _work(self) -> None:
        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as group:
            for _ in range(PUSHERS):
                _ = group.create_task(self._push(session))

    async def _push(self, session: aiohttp.ClientSession) -> None:
        while not self._end.is_set():
            number = uuid4().hex
            body: dict[str, Any] = {
                "source_system": "bureau",
                "records": [a_pushed_case(number, 1)],
            }
            headers = {**self._headers, "Idempotency-Key": number}
            try:
                async with session.post(self._url, json=body, headers=headers) as answer:
                    told = await answer.text()
                    if answer.status == 200 and orjson.loads(told)["accepted"] == 1:
                        self.taken.add(number)
                    else:
                        self.failed.append(f"{answer.status} {told}")
            except (aiohttp.ClientError, TimeoutError) as error:
                self.failed.append(repr(error))
            await asyncio.sleep(0.02)

    def go_on(self, what: str, more: int = 20) -> None:
        """Return when so many more are taken and none has failed."""
        reached = len(self.taken) + more
        _ = until(f"work goes on: {what}", lambda: self.failed or len(self.taken) >= reached)
        assert self.failed == [], what


@pytest.fixture
def city(tmp_path: Path, keys: TestKeys) -> Generator[City]:
    server = serve_keys(keys)
    with EmbeddedPostgres(tmp_path / "postgres", settings=DURABLE) as postgres:
        postgres.create_databases(["cases", "bus"])
        one = City(tmp_path, postgres, f"http://127.0.0.1:{server.server_port}/")
        try:
            yield one
        finally:
            one.end_all()
            server.shutdown()
            server.server_close()


@pytest.fixture
def side_by_side() -> float:
    """Seconds that two releases run beside each other."""
    return float(os.environ.get("FAULT_SIDE_BY_SIDE") or 3)


@contextmanager
def pushing(city: City, keys: TestKeys) -> Generator[Pushes]:
    claims: dict[str, Any] = {"kind": "system", "scope": "cases:push"}
    place = {"area": CITY, "department": DEPARTMENT}
    token = keys.token(exp=int(time.time()) + HOURS, **claims, **place)
    with Pushes(at(city.port), {"Authorization": f"Bearer {token}"}) as pushes:
        yield pushes


GAPS = """
SELECT count(*) FROM (
    SELECT FROM fact_log GROUP BY topic, partition HAVING count(*) <> max(number)
) AS gap
"""


@dataclass(frozen=True)
class Kept:
    """What the database has in the end."""

    numbers: set[str]
    logged: int
    """Cases with a fact in the log."""
    gaps: int
    """Partitions in which a number is missing or double."""
    waiting: int
    """Facts that are not published."""


async def kept(city: City) -> Kept:
    connection = await asyncpg.connect(city.url)
    try:
        rows = await connection.fetch("SELECT source_number FROM imported_case")
        return Kept(
            {row["source_number"] for row in rows},
            await connection.fetchval("SELECT count(DISTINCT key) FROM fact_log"),
            await connection.fetchval(GAPS),
            await connection.fetchval("SELECT count(*) FROM outbox"),
        )
    finally:
        await connection.close()


def test_releases_replace_each_other_under_load_and_the_way_back_is_open(
    city: City, keys: TestKeys, tmp_path: Path, side_by_side: float
) -> None:
    last, coming = released_code(tmp_path / "last"), next_code(tmp_path / "next")
    asyncio.run(load(LAST, "cases", url=city.url))
    city.launch("last", "services.cases.main", code=last)
    city.launch("gateway", "gateway.main")
    city.wait_ready("last")
    _ = until("the gateway is ready", lambda: city.status(city.port) == 200)
    with ExitStack() as beside:
        pushes = beside.enter_context(pushing(city, keys))
        pushes.go_on("the last release alone")

        city.migrate(ROOT)
        pushes.go_on("the last release on the migrated schema")
        city.launch("now", "services.cases.main")
        city.wait_ready("now")
        time.sleep(side_by_side)
        pushes.go_on("both side by side")
        city.end("last")
        pushes.go_on("this release alone")
        # Workers of one release at a time: the last one knows events by their ids alone.
        city.launch("worker", "services.cases.worker")
        city.wait_ready("worker")

        city.migrate(coming)
        assert city.status(city.ports["now"]) == 200
        city.launch("next", "services.cases.main", code=coming)
        city.wait_ready("next")
        time.sleep(side_by_side)
        pushes.go_on("this and the next release side by side")
        city.end("now")
        pushes.go_on("the next release alone")

        city.launch("now", "services.cases.main")
        city.wait_ready("now")
        city.migrate(ROOT)
        time.sleep(0.5)
        city.end("next")
        pushes.go_on("back on this release")

    _ = until("all facts are published", lambda: asyncio.run(kept(city)).waiting == 0)
    found = asyncio.run(kept(city))
    assert pushes.failed == []
    assert pushes.taken <= found.numbers
    assert found.logged >= len(pushes.taken)
    assert found.gaps == 0
