"""Fixtures that all tests share.

A real PostgreSQL per test process, a fresh migrated database per test, signed tokens, clients in
process.

Every database is a copy of a template migrated once per run (about 30 ms), so tests commit as
production does.
"""

import asyncio
import base64
import os
import sys
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from deploy.broker import KafkaBroker
from deploy.postgres import EmbeddedPostgres
from deploy.processes import SERVICES
from shared import logs
from shared.city import SAMPLE
from shared.database import migrations
from shared.database.session import Database
from shared.events.base import Envelope, parse_envelope
from shared.messaging.bus import Bus
from shared.messaging.kafka import KafkaBus
from shared.messaging.local_bus import LocalBus
from shared.security.tokens import TokenVerifier
from tests.builders.tokens import TestKeys

for _name in (*SERVICES, "gateway"):
    # Nothing starts without a city; tests say so where they need another one.
    os.environ[f"{_name.upper()}_CITY_FILE"] = str(SAMPLE)

DATA_KEY = base64.b64encode(b"k" * 32).decode()
PLATFORM_KEY = base64.b64encode(b"p" * 32).decode()
FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "300",
}

Headers = dict[str, str]

UNWATCHED = (
    "contracts/",
    "faults/",
    "flows/",
    "golden/",
    "released/",
    "security/test_object_access.py",
)
"""Tests whose lines other tests cover as well.

Tracing them too would double what coverage costs.
"""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items if not config.getoption("no_cov") else ():
        if item.path.relative_to(Path(__file__).parent).as_posix().startswith(UNWATCHED):
            item.add_marker(pytest.mark.no_cover)


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": False}


@pytest.fixture(scope="session", autouse=True)
def test_log() -> Generator[Path]:
    """Logs of the code under test go to this file, which the canary test reads."""
    with tempfile.TemporaryDirectory(prefix="tongban-log-") as folder:
        path = Path(folder) / "log.jsonl"
        with path.open("w", encoding="utf-8", buffering=1) as stream:
            logs.configure("test", stream=stream)
            yield path
            logs.configure("test", stream=sys.__stderr__)


@pytest.fixture(scope="session")
def postgres() -> Generator[EmbeddedPostgres]:
    """A PostgreSQL server for this test process."""
    with tempfile.TemporaryDirectory(prefix="tongban-pg-") as folder:
        server = EmbeddedPostgres(Path(folder) / "data", settings=FAST)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def kafka() -> Generator[KafkaBroker]:
    """A real Apache Kafka broker for this test process.

    Tests that use it carry `xdist_group("kafka")`.
    """
    with tempfile.TemporaryDirectory(prefix="tongban-kafka-") as folder:
        broker = KafkaBroker(Path(folder))
        broker.start()
        try:
            yield broker
        finally:
            broker.stop()


@dataclass
class Databases:
    """Makes databases on the test server.

    There is one migrated template per service, and a copy of it per test.
    """

    postgres: EmbeddedPostgres
    templates: dict[str, str] = field(default_factory=dict[str, str])

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.postgres.dsn("postgres"))
        try:
            _ = await connection.execute(statement)
        finally:
            await connection.close()

    async def template(self, service: str) -> str:
        if service not in self.templates:
            name = f"template_{service}"
            await self._execute(f"CREATE DATABASE {name}")
            await asyncio.to_thread(self._migrate, service, name)
            self.templates[service] = name
        return self.templates[service]

    def _migrate(self, service: str, name: str) -> None:
        asyncio.run(migrations.run_on(self.postgres.dsn(name), migrations.upgrade, service))

    async def fresh(self, service: str) -> tuple[str, str]:
        """Name and URL of a new database with this service's tables."""
        name = f"{service}_{uuid4().hex[:12]}"
        await self.make(name, service)
        return name, self.postgres.dsn(name)

    async def make(self, name: str, service: str) -> None:
        """Copy the template.

        The copy reads the bus under its own name, as a migrated database would.
        """
        await self._execute(
            f"CREATE DATABASE {name} TEMPLATE {await self.template(service)} STRATEGY file_copy"
        )
        connection = await asyncpg.connect(self.postgres.dsn(name))
        _ = await connection.execute("UPDATE inbox_group SET id = gen_random_uuid()")
        await connection.close()

    async def empty(self) -> tuple[str, str]:
        name = f"empty_{uuid4().hex[:12]}"
        await self._execute(f"CREATE DATABASE {name}")
        return name, self.postgres.dsn(name)

    async def drop(self, name: str) -> None:
        await self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def databases(postgres: EmbeddedPostgres) -> Databases:
    return Databases(postgres)


@pytest.fixture(params=["local", pytest.param("kafka", marks=pytest.mark.xdist_group("kafka"))])
async def bus(request: pytest.FixtureRequest, databases: Databases) -> AsyncGenerator[Bus]:
    if request.param == "kafka":
        yield KafkaBus(request.getfixturevalue("kafka").bootstrap)
        return
    name, url = await databases.empty()
    local = LocalBus(url)
    yield local
    await local.close()
    await databases.drop(name)


def a_database(url: str) -> Database:
    """The database at `url` with the keys of these tests."""
    return Database(
        url, data_key=base64.b64decode(DATA_KEY), platform_key=base64.b64decode(PLATFORM_KEY)
    )


DatabaseFactory = Callable[[str], Awaitable[Database]]


@pytest.fixture
async def database_of(databases: Databases) -> AsyncGenerator[DatabaseFactory]:
    """`await database_of("cases")`: a `Database` on a fresh migrated database.

    It is dropped after the test.
    """
    opened: list[tuple[str, Database]] = []

    async def make(service: str) -> Database:
        name, url = await databases.fresh(service)
        database = a_database(url)
        opened.append((name, database))
        return database

    yield make
    for name, database in opened:
        await database.close()
        await databases.drop(name)


@pytest.fixture
async def empty_database(databases: Databases) -> AsyncGenerator[str]:
    """URL of an empty database."""
    name, url = await databases.empty()
    yield url
    await databases.drop(name)


@pytest.fixture(scope="session")
def keys() -> TestKeys:
    """The key pair that signs this run's tokens."""
    return TestKeys()


@pytest.fixture(scope="session")
def verifier(keys: TestKeys) -> TokenVerifier:
    return keys.verifier()


TokenFactory = Callable[..., Headers]


@pytest.fixture(scope="session")
def token(keys: TestKeys) -> TokenFactory:
    """The Authorization header of a caller.

    `token(kind="staff", roles=["approver"], area=…, department=…)`.
    """

    def make(**claims: Any) -> Headers:
        return {"Authorization": f"Bearer {keys.token(**claims)}"}

    return make


ENGLISH = {"Accept-Language": "en"}
"""Tests read the English texts; what is said in Chinese and Tibetan has tests of its own."""


class ServiceClient(httpx.AsyncClient):
    """HTTP client on one service's app in this process, with the database behind it."""

    database: Database
    app: Any


ClientFactory = Callable[..., Awaitable[ServiceClient]]


def once(headers: Headers) -> Headers:
    """The same caller with an Idempotency-Key of a new intended effect."""
    return {**headers, "Idempotency-Key": uuid4().hex}


@pytest.fixture
async def client_of(databases: Databases, verifier: TokenVerifier) -> AsyncGenerator[ClientFactory]:
    """`await client_of("cases", development=True)`: that service's app on a fresh database."""
    async with AsyncExitStack() as stack:

        async def make(service: str, **changes: Any) -> ServiceClient:
            name, url = await databases.fresh(service)
            _ = stack.push_async_callback(databases.drop, name)
            settings = service_settings(service, url, **changes)
            app = import_module(f"services.{service}.main").build(settings, verifier=verifier)
            _ = await stack.enter_async_context(app.router.lifespan_context(app))
            transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
            client = ServiceClient(transport=transport, base_url="http://test", headers=ENGLISH)
            client.database, client.app = app.state.database, app
            return await stack.enter_async_context(client)

        yield make


def service_settings(service: str, url: str, **changes: Any) -> Any:
    """Settings of a service under test; of the environment only the city plays a part."""
    values: dict[str, Any] = {
        "database_url": url,
        "data_key": DATA_KEY,
        "platform_key": PLATFORM_KEY,
        "jwks_url": "http://127.0.0.1:1/unused",
        "bus": "local",
        "bus_database_url": "postgresql://unused",
        **changes,
    }
    return import_module(f"services.{service}.settings").Settings(**values)


async def published(database: Database) -> list[Envelope]:
    """The events waiting in a database's outbox, oldest first."""
    connection = await database.connect()
    try:
        rows = await connection.fetch("SELECT payload FROM outbox ORDER BY position")
    finally:
        await connection.close()
    return [parse_envelope(row["payload"]) for row in rows]
