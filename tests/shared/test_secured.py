"""TLS, logins and proxies: what a setting asks for is done by every client, or nothing starts."""

import asyncio
import ssl
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text

from deploy.operate.database_settings import give_settings
from services.assessment.settings import Settings
from shared.database.address import other_database
from shared.database.session import Database
from shared.messaging.kafka import KafkaSecurity
from shared.runtime import http_client
from shared.runtime.http_client import EgressPolicy, EndpointError, Endpoints
from shared.settings import OutgoingSettings
from tests.builders.certificates import a_certificate
from tests.conftest import Databases, service_settings

SECRET = "s3cret"


@pytest.mark.parametrize("mode", ["disable", "require"])
async def test_pool_and_relay_ask_for_the_same_encryption(databases: Databases, mode: str) -> None:
    name, url = await databases.empty()
    database = Database(f"{url}?sslmode={mode}", data_key=b"k" * 32, pool_size=1)

    async def by_pool() -> None:
        async with database.reading() as session:
            _ = await session.execute(text("SELECT 1"))

    async def by_relay() -> None:
        connection = await database.connect()
        await connection.close()

    outcomes: list[bool] = []
    for connect in (by_pool, by_relay):
        try:
            await connect()
            outcomes.append(True)
        except (OSError, asyncpg.PostgresError):
            # The server of the tests has no certificate.
            outcomes.append(False)
    await database.close()
    await databases.drop(name)

    assert outcomes == [mode == "disable"] * 2


def test_authority_of_the_url_is_read_by_the_driver(tmp_path: Path) -> None:
    missing = tmp_path / "nothing.pem"
    url = f"postgresql://u:p@127.0.0.1:1/d?sslmode=verify-full&sslrootcert={missing}"
    database = Database(url, data_key=b"k" * 32)

    async def connect() -> None:
        async with database.reading() as session:
            _ = await session.execute(text("SELECT 1"))

    with pytest.raises(Exception, match=r"nothing\.pem|No such file|root"):
        asyncio.run(connect())


def test_another_database_of_a_url_keeps_what_follows_it() -> None:
    url = "postgresql://u:p@h:5432/tongban_x?sslmode=verify-full&sslrootcert=/a/b.pem"

    assert other_database(url, "postgres").startswith("postgresql://u:p@h:5432/postgres?")
    assert "sslmode=verify-full" in other_database(url, "postgres")


async def test_behind_a_pooler_the_role_has_the_settings_and_nothing_stays_prepared(
    databases: Databases,
) -> None:
    name, url = await databases.empty()
    await give_settings(url)
    database = Database(url, data_key=b"k" * 32, pool_size=1, pooler=True, direct_url=url)

    async with database.reading() as session:
        for _ in range(8):
            timeout = (await session.execute(text("SHOW lock_timeout"))).scalar_one()
        prepared = (
            await session.execute(
                text("SELECT name FROM pg_prepared_statements WHERE NOT from_sql")
            )
        ).all()
    connection = await database.connect()
    await connection.close()
    await database.close()
    # Roles outlive databases: the setting must not reach other tests.
    owner = await asyncpg.connect(url)
    _ = await owner.execute(f'ALTER ROLE CURRENT_USER IN DATABASE "{name}" RESET ALL')
    await owner.close()
    await databases.drop(name)

    assert timeout == "5s"
    # At most the statement that asks.
    assert len(prepared) <= 1


def test_every_client_of_kafka_gets_encryption_and_login() -> None:
    plain = KafkaSecurity().arguments()
    secured = KafkaSecurity(protocol="SASL_SSL", username="cases", password=SECRET)
    arguments = secured.arguments()

    assert plain == {}
    assert arguments["security_protocol"] == "SASL_SSL"
    assert arguments["sasl_mechanism"] == "SCRAM-SHA-512"
    assert isinstance(arguments["ssl_context"], ssl.SSLContext)
    assert arguments["ssl_context"].verify_mode == ssl.CERT_REQUIRED
    assert SECRET not in repr(secured)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"kafka_security": "SASL_SSL"}, "kafka_username and kafka_password"),
        ({"database_pooler": True}, "direct_database_url is required"),
    ],
)
def test_half_of_a_secured_connection_is_a_fault(changes: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        _ = service_settings("assessment", "postgresql://x/y", **changes)


def test_migrations_and_operators_go_past_the_pooler(monkeypatch: pytest.MonkeyPatch) -> None:
    from shared.settings import database_url

    monkeypatch.setenv("CASES_DATABASE_URL", "postgresql://pooler/cases")
    monkeypatch.setenv("CASES_DIRECT_DATABASE_URL", "postgresql://server/cases")

    assert database_url("cases") == "postgresql://server/cases"
    assert Settings.model_fields["direct_database_url"].default is None


async def test_foreign_endpoints_are_called_through_the_proxy_by_their_name() -> None:
    asked: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async def resolve(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    proxy = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = proxy.sockets[0].getsockname()[1]
    http_client.configure(OutgoingSettings(http_proxy=f"http://127.0.0.1:{port}"))
    endpoints = Endpoints(resolve, timeout=5)
    try:
        with pytest.raises(EndpointError):
            _ = await endpoints.call(
                "POST",
                url="https://peer.example/events",
                policy=EgressPolicy(loopback=True),
                headers={},
            )
    finally:
        http_client.configure(OutgoingSettings())
        await endpoints.close()
        proxy.close()
        await proxy.wait_closed()

    assert asked == [b"CONNECT peer.example:443 HTTP/1.1\r\n"]


async def test_private_authority_is_trusted_where_it_is_named(tmp_path: Path) -> None:
    both, public = a_certificate(tmp_path, "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _ = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    try:
        before = await http_client.get_json(url)
        http_client.configure(OutgoingSettings(http_ca_file=public))
        after = await http_client.get_json(url)
    finally:
        http_client.configure(OutgoingSettings())
        server.close()
        await server.wait_closed()

    assert (before, after) == (None, {})
