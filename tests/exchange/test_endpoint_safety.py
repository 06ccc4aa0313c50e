"""Foreign endpoints cannot lead the platform elsewhere, hold it up, or fill its memory."""

import gzip
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.exchange.events.use_cases.endpoints import retry_after
from shared import clock
from shared.runtime import http_client
from shared.runtime.http_client import EgressPolicy, EndpointError, Endpoints, check_endpoint
from tests.builders.certificates import a_certificate
from tests.builders.subscriber import Subscriber, listening
from tests.exchange.conftest import Bureau, a_case

LOCAL = EgressPolicy(ports=None, loopback=True)
INTRANET = EgressPolicy(
    (ipaddress.ip_network("10.20.0.0/16"), ipaddress.ip_network("fd00:20::/32")), (443,)
)


async def failing(endpoints: Endpoints, url: str, reach: EgressPolicy = LOCAL) -> str:
    with pytest.raises(EndpointError) as found:
        _ = await endpoints.call("POST", url=url, policy=reach, headers={}, content=b"{}")
    return found.value.cause


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("http://bureau.example/hook", "https_required"),
        ("ftp://bureau.example/hook", "https_required"),
        ("https://bureau.example:22/hook", "port_not_allowed"),
        ("https://user:word@bureau.example/hook", "invalid_url"),
        ("https:///hook", "invalid_url"),
        ("https://bureau.example/hook#part", "invalid_url"),
        ("https://bureau.example:99999/hook", "invalid_url"),
    ],
)
def test_address_of_a_bad_form_is_refused(url: str, cause: str) -> None:
    with pytest.raises(EndpointError) as found:
        _ = check_endpoint(url, INTRANET)

    assert found.value.cause == cause


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("10.20.3.4", True),
        ("fd00:20::7", True),
        ("::ffff:10.20.3.4", True),
        ("10.21.0.1", False),
        ("127.0.0.1", False),
        ("::1", False),
        ("::ffff:127.0.0.1", False),
        ("169.254.169.254", False),
        ("0.0.0.0", False),  # noqa: S104 - an address to refuse
        ("224.0.0.1", False),
    ],
)
def test_only_addresses_of_the_peer_are_reached(address: str, allowed: bool) -> None:
    assert INTRANET.allows(ipaddress.ip_address(address)) is allowed


def test_no_network_list_opens_this_machine_or_a_clouds_metadata() -> None:
    everything = EgressPolicy(
        (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")), None
    )

    for address in (
        "127.0.0.1",
        "::1",
        "169.254.169.254",
        "fe80::1",
        "0.0.0.0",  # noqa: S104 - the address that is refused
        "::ffff:127.0.0.1",
    ):
        assert not everything.allows(ipaddress.ip_address(address)), address


async def test_name_is_resolved_once_and_the_checked_address_is_called(
    subscriber: Subscriber,
) -> None:
    """DNS rebinding: what the name means a moment later plays no part."""
    asked = list[str]()

    async def rebinding(host: str, _port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.99.99.99"]

    endpoints = Endpoints(rebinding)
    answer = await endpoints.call(
        "POST",
        url=f"http://bureau.example:{subscriber.port}/hook",
        policy=LOCAL,
        headers={},
        content=b'{"partitionkey":"k"}',
    )
    rebound = await failing(endpoints, f"http://bureau.example:{subscriber.port}/hook")
    await endpoints.close()

    assert answer.status == 200
    assert asked == ["bureau.example"] * 2
    assert subscriber.requests[0].headers["host"] == f"bureau.example:{subscriber.port}"
    assert rebound == "address_not_allowed"
    assert len(subscriber.requests) == 1


async def test_name_of_a_forbidden_address_is_not_called() -> None:
    async def metadata(_host: str, _port: int) -> Sequence[str]:
        return ["169.254.169.254"]

    endpoints = Endpoints(metadata)

    assert (
        await failing(endpoints, "https://bureau.example/hook", INTRANET) == "address_not_allowed"
    )
    assert (
        await failing(Endpoints(), "https://no-such-host.invalid/hook", INTRANET) == "unknown_host"
    )


async def test_redirect_is_not_followed(bureau: Bureau, subscriber: Subscriber) -> None:
    subscription = await bureau.hooked(subscriber)
    with listening() as elsewhere:
        subscriber.status, subscriber.headers = 307, {"location": elsewhere.url}
        _ = await bureau.happen(a_case())
        _ = await bureau.send()

        assert elsewhere.requests == []
    (delivery,) = await bureau.deliveries(subscription)
    assert (delivery["state"], delivery["cause"], delivery["last_status"]) == (
        "pending",
        "redirect",
        307,
    )


async def test_slow_endpoint_is_left_at_the_limit(subscriber: Subscriber) -> None:
    subscriber.sleep = 5
    endpoints = Endpoints(timeout=0.5)

    started = time.monotonic()
    cause = await failing(endpoints, subscriber.url)
    await endpoints.close()

    assert cause == "timeout"
    assert time.monotonic() - started < 2


@contextmanager
def raw_server(answer: Callable[[socket.socket], None]) -> Generator[str]:
    """A server that says anything."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    _ = connection.recv(65536)
                    answer(connection)
                except OSError:
                    pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/hook"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(10)


def drip(connection: socket.socket) -> None:
    """A byte at a time, for ever: no single read is slow."""
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    for _ in range(300):
        connection.sendall(b"x")
        time.sleep(0.05)


def huge(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
    for _ in range(2000):
        connection.sendall(b"x" * 65536)


def bomb(connection: socket.socket) -> None:
    """Gzip that nobody asked for: its bytes are not unpacked."""
    body = gzip.compress(b"0" * 50_000_000)[:60_000]
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)


def nonsense(connection: socket.socket) -> None:
    connection.sendall(b"GARBAGE\r\n\r\n")


def silence(_connection: socket.socket) -> None:
    return


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (drip, "timeout"),
        (huge, "answer_too_large"),
        (nonsense, "broken_answer"),
        (silence, "broken_answer"),
    ],
)
async def test_misbehaving_endpoint_costs_little(
    answer: Callable[[socket.socket], None], cause: str
) -> None:
    endpoints = Endpoints(timeout=1.0)
    with raw_server(answer) as url:
        started = time.monotonic()
        assert await failing(endpoints, url) == cause
        assert time.monotonic() - started < 3
        await endpoints.close()


async def test_compressed_answer_is_not_unpacked() -> None:
    endpoints = Endpoints(timeout=5.0)
    with raw_server(bomb) as url:
        answer = await endpoints.call("POST", url=url, policy=LOCAL, headers={}, content=b"{}")
        await endpoints.close()

    assert len(answer.body) <= 60_000


async def test_closed_port_is_told(subscriber: Subscriber) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]

    assert await failing(Endpoints(), f"http://127.0.0.1:{port}/") == "connect"


async def test_proxies_of_the_environment_play_no_part(
    subscriber: Subscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    endpoints = Endpoints()

    answer = await endpoints.call(
        "POST", url=subscriber.url, policy=LOCAL, headers={}, content=b'{"partitionkey":"k"}'
    )
    await endpoints.close()

    assert answer.status == 200


@pytest.mark.parametrize(("name", "cause"), [("bureau.example", None), ("other.example", "tls")])
async def test_certificate_must_be_that_of_the_name_although_the_address_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, cause: str | None
) -> None:
    both, public = a_certificate(tmp_path, name)
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(both)
    names = list[str | None]()
    server_context.sni_callback = lambda _socket, sni, _context: names.append(sni)
    trusting = httpx.create_ssl_context(verify=ssl.create_default_context(cafile=str(public)))
    monkeypatch.setattr(http_client, "_tls", lambda: trusting)

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    async def resolver(_host: str, _port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    with tls_server(server_context, answer) as port:
        endpoints = Endpoints(resolver, timeout=5)
        url = f"https://bureau.example:{port}/hook"
        if cause is None:
            assert (
                await endpoints.call("POST", url=url, policy=LOCAL, headers={}, content=b"{}")
            ).status == 204
        else:
            assert await failing(endpoints, url) == cause
        await endpoints.close()
    assert names == ["bureau.example"]


@contextmanager
def tls_server(context: ssl.SSLContext, answer: Callable[[Any], None]) -> Generator[int]:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        try:
            plain, _ = listener.accept()
            with plain, context.wrap_socket(plain, server_side=True) as connection:
                received = b""
                while not received.endswith(b"{}"):
                    received += connection.recv(65536)
                answer(connection)
        except OSError:
            return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.close()
    thread.join(10)


async def test_endpoint_that_wants_a_certificate_of_ours_is_a_failed_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, public = a_certificate(tmp_path, "bureau.example")
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(both)
    server_context.load_verify_locations(public)
    server_context.verify_mode = ssl.CERT_REQUIRED
    trusting = httpx.create_ssl_context(verify=ssl.create_default_context(cafile=str(public)))
    monkeypatch.setattr(http_client, "_tls", lambda: trusting)

    async def resolver(_host: str, _port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    with tls_server(server_context, lambda _connection: None) as port:
        endpoints = Endpoints(resolver, timeout=5)
        assert await failing(endpoints, f"https://bureau.example:{port}/hook") in {
            "tls",
            "broken_answer",
        }
        await endpoints.close()


@pytest.mark.parametrize(
    "text", ["Mon, 01 Jan 2024 00:00:00 +9999999999999", "soon", "-1", "9" * 30]
)
def test_time_to_wait_that_cannot_be_read_is_none(text: str) -> None:
    assert retry_after({"retry-after": text}, clock.now()) is None
