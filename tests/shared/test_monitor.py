"""What a process measures of itself: waiting facts, lag, and nothing that it cannot read."""

import asyncio
import base64
import os
import ssl
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest

from deploy.versions import current_version
from shared import clock
from shared.build import VERSION
from shared.database.session import Database
from shared.events.base import seal
from shared.events.identity import IdentityVerified
from shared.messaging import outbox
from shared.messaging.bus import Bus, Message
from shared.messaging.inbox import Consumer, Inbox
from shared.messaging.local_bus import LocalBus
from shared.messaging.outbox import Relay
from shared.runtime.monitor import Monitor
from shared.runtime.status import Certificates
from tests.builders.certificates import a_certificate
from tests.builders.events import a_fact
from tests.conftest import DatabaseFactory, Databases, a_database, service_settings


def a_monitor(database: Database, bus: Bus | None = None, **changes: Any) -> Monitor:
    settings = service_settings("assessment", database.dsn, **changes)
    return Monitor("assessment-worker", "assessment", settings=settings, database=database, bus=bus)


def exposed(name: str) -> list[str]:
    """The lines of a metric of assessment as it is scraped now.

    Other tests of this process measure other services.
    """
    lines = generate_latest().decode().splitlines()
    found = [line for line in lines if line.startswith(f"{name}{{")]
    return [line for line in found if 'service="assessment"' in line]


class BrokenPublisher:
    """A bus that takes nothing."""

    async def publish(self, messages: Any) -> None:
        raise OSError("the broker is away")


async def test_facts_that_were_numbered_and_not_sent_wait_too(
    database_of: DatabaseFactory, bus: Bus
) -> None:
    database = await database_of("assessment")
    await bus.ensure_topics(["tongban.identity"])
    for _ in range(3):
        async with database.transaction() as session:
            outbox.add(session, a_fact())
    connection = await database.connect()
    publishing = await Relay(database, bus).begin(connection, BrokenPublisher())
    with pytest.raises(OSError, match="away"):
        _ = await publishing.publish_batch()
    left = await connection.fetchval("SELECT count(*) FROM outbox")
    await asyncio.sleep(0.2)

    state = (await a_monitor(database).measure()).database
    await connection.close()

    assert left == 0
    assert state is not None
    assert state.outbox_facts == 3
    assert 0.2 <= state.outbox_age_seconds < 60
    assert exposed("tongban_outbox_waiting") == ['tongban_outbox_waiting{service="assessment"} 3.0']


async def test_lag_tells_facts_and_the_age_of_the_oldest(
    database_of: DatabaseFactory, bus: Bus
) -> None:
    database = await database_of("assessment")
    consumer = Consumer("assessment")

    @consumer.on(IdentityVerified)
    async def ignore(_session: Any, _event: Any) -> None:
        pass

    topic = "tongban.identity"
    await bus.ensure_topics([topic])
    inbox = Inbox(database, bus, consumer=consumer)
    taking = asyncio.create_task(inbox.run())
    monitor = a_monitor(database, bus)

    async def lag_of(facts: int) -> Any:
        async with asyncio.timeout(30):
            while True:
                lags = (await monitor.measure()).lag
                if lags and lags[0].facts == facts:
                    return lags[0]
                await asyncio.sleep(0.1)

    nothing = await lag_of(0)
    _ = taking.cancel()
    _ = await asyncio.gather(taking, return_exceptions=True)
    async with bus.publisher() as publisher:
        for _ in range(5):
            await publisher.publish([message()])
    await asyncio.sleep(0.3)
    behind = await lag_of(5)

    assert (nothing.topic, nothing.seconds) == (topic, 0)
    assert 0.3 <= behind.seconds < 60
    assert exposed("tongban_consumer_lag_facts") == [
        f'tongban_consumer_lag_facts{{service="assessment",topic="{topic}"}} 5.0'
    ]


def message() -> Message:
    event = a_fact()
    _, payload = seal(event)
    return Message("tongban.identity", event.key, payload)


async def test_what_cannot_be_read_has_no_value_and_takes_seconds(
    databases: Databases,
) -> None:
    name, url = await databases.fresh("assessment")
    database = a_database(url)
    monitor = a_monitor(database)
    _ = await monitor.measure()
    before = exposed("tongban_outbox_age_seconds")
    await databases.drop(name)

    begun = time.monotonic()
    found = await monitor.measure()
    await database.close()

    assert before == ['tongban_outbox_age_seconds{service="assessment"} 0.0']
    assert found.database is None
    assert found.checks == {"database": False, "migrations": False, "facts": False}
    assert exposed("tongban_outbox_age_seconds") == []
    assert 'tongban_ready{check="database",service="assessment"} 0.0' in exposed("tongban_ready")
    assert time.monotonic() - begun < 10


async def test_database_that_says_nothing_is_not_waited_for() -> None:
    """As one whose machine is frozen: the connection stands and no answer comes."""

    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        database = a_database(f"postgresql://x@127.0.0.1:{port}/x")
        async with asyncio.timeout(8):
            found = await a_monitor(database).measure()
        await database.close()

    assert found.database is None
    assert not found.checks["database"]


async def test_moved_clock_is_measured(
    database_of: DatabaseFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = await database_of("assessment")
    monkeypatch.setattr(clock, "now", lambda: datetime.now(UTC) + timedelta(seconds=42))

    state = (await a_monitor(database).measure()).database

    assert state is not None
    assert 41 < state.clock_skew_seconds < 43


async def test_check_values_tell_keys_apart_and_nothing_else(database_of: DatabaseFactory) -> None:
    database = await database_of("assessment")
    other = base64.b64encode(os.urandom(32)).decode()
    same, again = (await a_monitor(database).measure()).keys, (await a_monitor(database).measure())
    changed = (await a_monitor(database, data_key=other).measure()).keys

    assert same == again.keys
    assert changed["platform"] == same["platform"]
    assert changed["data"] != same["data"]
    assert len(same["data"]) == 8


@asynccontextmanager
async def tls_server(folder: Path, *, ends: datetime) -> AsyncGenerator[int]:
    both, _ = a_certificate(folder, "127.0.0.1", ends)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)

    async def nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(nothing, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]


async def test_certificates_of_addresses_and_files_tell_their_end(tmp_path: Path) -> None:
    ends = datetime(2020, 5, 4, 3, 2, 1, tzinfo=UTC)
    async with tls_server(tmp_path, ends=ends) as port:
        settings = service_settings(
            "licenses", "postgresql://x", public_url=f"https://127.0.0.1:{port}/"
        )
        found = await Certificates(settings).read()

    assert [(one.setting, one.expires_at) for one in found] == [("LICENSES_PUBLIC_URL", ends)]


async def test_local_bus_tells_ends(databases: Databases) -> None:
    name, url = await databases.empty()
    bus = LocalBus(url)
    await bus.ensure_topics(["t"])

    assert await bus.ends(["t", "other"]) == {"t": 0}
    await bus.close()
    await databases.drop(name)


def test_version_is_that_of_the_project() -> None:
    assert str(current_version()) == VERSION
