"""The gateway: who passes, what is stripped, and the limits.

Every fault of a service gets the right answer.
"""

import asyncio
import time
from collections.abc import AsyncGenerator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits import Breaker, Buckets
from gateway.routes import find_route
from tests.builders.tokens import TestKeys
from tests.conftest import ClientFactory, TokenFactory
from tests.gateway.conftest import GateFactory, raw, serving

PUBLIC = "/api/v1/matters/catalogue"
CLOSED = "/api/v1/matters/work-list"
Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


def problem(answer: httpx.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (
        status,
        "application/problem+json",
    ), answer.text
    assert answer.json()["code"] == code
    assert answer.json()["trace_id"] == answer.headers["x-request-id"]


async def test_public_path_passes_and_carries_ids(gate: GateFactory) -> None:
    g = await gate()

    answer = await g.client.get(
        PUBLIC, params={"q": "茶馆"}, headers={"x-request-id": "request-1234"}
    )

    assert (answer.status_code, answer.text, answer.headers["x-own"]) == (200, "ok", "yes")
    assert answer.headers["x-request-id"] == g.sent["x-request-id"] == "request-1234"
    assert g.upstream.heads[0].startswith(
        b"GET /api/v1/matters/catalogue?q=%E8%8C%B6%E9%A6%86 HTTP/1.1"
    )
    assert g.sent["traceparent"].startswith("00-")
    assert g.sent["x-forwarded-for"] == "127.0.0.1"


async def test_inbound_identity_headers_are_stripped(gate: GateFactory) -> None:
    g = await gate()
    forged = {
        "X-Forwarded-For": "203.0.113.7",
        "X-Forwarded-Host": "evil",
        "Forwarded": "for=1",
        "X-Real-IP": "1",
        "X-User-Id": "root",
        "traceparent": "nonsense",
        "X-Request-Id": "a b",
        "Connection": "X-Hop",
        "X-Hop": "1",
        "X-Kept": "1",
    }

    _ = await g.client.get(PUBLIC, headers=forged)

    assert g.sent["x-forwarded-for"] == "127.0.0.1"
    assert not {"forwarded", "x-real-ip", "x-user-id", "x-hop", "x-forwarded-host"} & set(g.sent)
    assert g.sent["x-kept"] == "1"
    assert (len(g.sent["x-request-id"]), g.sent["traceparent"][:3]) == (32, "00-")


async def test_token_is_needed_where_nothing_is_public(
    gate: GateFactory, token: TokenFactory, keys: TestKeys
) -> None:
    g = await gate()

    problem(await g.client.get(CLOSED), 401, "invalid_token")
    problem(await g.client.get(PUBLIC, headers={"Authorization": "Bearer x"}), 401, "invalid_token")
    problem(
        await g.client.get(CLOSED, headers={"Authorization": f"Bearer {keys.token(exp=1)}"}),
        401,
        "invalid_token",
    )
    passed = await g.client.get(CLOSED, headers=token())

    assert passed.status_code == 200
    assert g.sent["authorization"].startswith("Bearer ")
    assert len(g.upstream.heads) == 1


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/internal/x",
        "/api/v2/matters/x",
        "/api/v1/matters/../identity/x",
        "/api/v1/matters/%2e%2e/x",
        "/api/v1/matters//catalogue",
        "/api/v1/matters/%2Fcatalogue",
        "/api/v1/matters/a%00b",
        "/api/internal/revocations",
        "/api",
    ],
)
async def test_clever_paths_reach_no_service(gate: GateFactory, path: str) -> None:
    g = await gate()

    answer = await raw(
        g.port, f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode()
    )

    assert answer.startswith(b"HTTP/1.1 404")
    assert g.upstream.heads == []


@given(st.text("./%2eEfF\\a;:@", max_size=20))
def test_no_path_with_dots_or_escapes_has_a_route(tail: str) -> None:
    route = find_route("GET", path=f"/api/v1/matters/{tail}")

    assert route is None or ("%" not in tail and not {".", ".."} & set(tail.split("/")))


async def test_service_that_is_not_there_is_502_at_once_and_then_503(
    gate: GateFactory, token: TokenFactory
) -> None:
    g = await gate(breaker_failures=3, breaker_seconds=0.5)
    started = time.monotonic()

    answers = [await g.client.get("/api/v1/cases/x", headers=token()) for _ in range(4)]
    elapsed = time.monotonic() - started
    other = await g.client.get(PUBLIC)

    for answer in answers[:3]:
        problem(answer, 502, "bad_gateway")
    problem(answers[3], 503, "unavailable")
    assert answers[3].headers["retry-after"] == "1"
    assert (other.status_code, elapsed < 2) == (200, True)
    await asyncio.sleep(0.6)
    problem(await g.client.get("/api/v1/cases/x", headers=token()), 502, "bad_gateway")


async def test_service_not_in_the_table_is_503(gate: GateFactory, token: TokenFactory) -> None:
    problem(
        await (await gate()).client.get("/api/v1/ratings/x", headers=token()), 503, "unavailable"
    )


async def test_silent_service_is_504_at_the_limit(gate: GateFactory) -> None:
    async def silent(_r: Reader, _w: Writer, _h: bytes) -> None:
        await asyncio.sleep(30)

    g = await gate(silent, read_timeout=0.3)
    started = time.monotonic()

    problem(await g.client.get(PUBLIC), 504, "upstream_timeout")

    assert time.monotonic() - started < 3


async def test_answer_broken_off_is_never_a_short_good_one(gate: GateFactory) -> None:
    async def broken(_r: Reader, writer: Writer, head: bytes) -> None:
        chunked = (
            b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
            if b"chunked" in head
            else b"Content-Length: 99\r\n\r\nhello"
        )
        writer.write(b"HTTP/1.1 200 OK\r\n" + chunked)
        await writer.drain()
        writer.transport.abort()

    g = await gate(broken)

    for params in ({}, {"q": "chunked"}):
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            _ = await g.client.get(PUBLIC, params=params)


async def test_caller_gone_cuts_the_service(gate: GateFactory) -> None:
    async def endless(_r: Reader, writer: Writer, _h: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"5\r\nhello\r\n")
            await writer.drain()
            await asyncio.sleep(0.02)

    g = await gate(endless)

    async with g.client.stream("GET", PUBLIC) as answer:
        async for _ in answer.aiter_raw():
            break
    await g.client.aclose()

    async with asyncio.timeout(5):
        assert await g.upstream.closed.wait()


async def test_caller_gone_while_the_service_is_silent_cuts_it_too(gate: GateFactory) -> None:
    asked = asyncio.Event()

    async def silent(reader: Reader, _w: Writer, _h: bytes) -> None:
        asked.set()
        _ = await reader.read(1)
        raise ConnectionError

    g = await gate(silent)
    _, writer = await asyncio.open_connection("127.0.0.1", g.port)
    writer.write(f"GET {PUBLIC} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    await writer.drain()
    _ = await asked.wait()
    await asyncio.sleep(0.3)
    writer.close()

    async with asyncio.timeout(5):
        assert await g.upstream.closed.wait()


async def test_first_event_of_a_stream_arrives_at_once(gate: GateFactory) -> None:
    async def events(_r: Reader, writer: Writer, _h: bytes) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        writer.write(b"9\r\ndata: 1\n\n\r\n")
        await writer.drain()
        await asyncio.sleep(5)

    g = await gate(events)

    async with asyncio.timeout(2), g.client.stream("GET", PUBLIC) as answer:
        async for chunk in answer.aiter_raw():
            assert chunk == b"data: 1\n\n"
            break


async def test_bodies_stream_up_and_the_limit_holds(gate: GateFactory, token: TokenFactory) -> None:
    async def echo(reader: Reader, writer: Writer, head: bytes) -> None:
        if b"chunked" in head:
            _ = await reader.readuntil(b"0\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0] or 0)
        body = await reader.readexactly(length)
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()

    g = await gate(echo, max_body_bytes=10_000)

    async def chunks() -> AsyncGenerator[bytes]:
        for _ in range(20):
            yield b"x" * 1000

    stored = await g.client.post(CLOSED, content=b"y" * 9_000, headers=token())
    declared = await g.client.post(CLOSED, content=b"y" * 10_001, headers=token())
    chunked = await g.client.post(CLOSED, content=chunks(), headers=token())

    assert (stored.status_code, stored.content) == (201, b"y" * 9_000)
    problem(declared, 413, "payload_too_large")
    problem(chunked, 413, "payload_too_large")


@pytest.mark.parametrize(
    ("method", "answer", "status"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", 200),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", 204),
        ("GET", b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\n\r\n', 304),
        (
            "GET",
            (
                b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
                b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
            ),
            200,
        ),
        ("GET", b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n", 302),
    ],
)
async def test_answers_without_a_body(
    gate: GateFactory, method: str, answer: bytes, status: int
) -> None:
    async def fixed(_r: Reader, writer: Writer, _h: bytes) -> None:
        writer.write(answer)
        await writer.drain()

    g = await gate(fixed)

    first = await g.client.request(method, PUBLIC)
    second = await g.client.request(method, PUBLIC)

    assert (first.status_code, first.content, second.status_code) == (status, b"", status)


async def test_connection_closed_between_requests_is_not_an_error(gate: GateFactory) -> None:
    async def once(_r: Reader, writer: Writer, _h: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()
        writer.close()

    g = await gate(once)

    assert [(await g.client.get(PUBLIC)).status_code for _ in range(10)] == [200] * 10


async def test_rate_limit_says_when_to_come_back(gate: GateFactory, token: TokenFactory) -> None:
    g = await gate(rate_per_address=0.1, rate_per_caller=0.1, burst=3)

    answers = [await g.client.get(PUBLIC) for _ in range(4)]
    other = await g.client.get(CLOSED, headers=token())

    assert [answer.headers.get("ratelimit-remaining") for answer in answers] == ["2", "1", "0", "0"]
    problem(answers[3], 429, "too_many_requests")
    assert 9 <= int(answers[3].headers["retry-after"]) <= 11
    assert other.status_code == 200


async def test_full_gateway_sheds_reports_before_people(
    gate: GateFactory, token: TokenFactory
) -> None:
    release = asyncio.Event()

    async def waiting(_r: Reader, writer: Writer, _h: bytes) -> None:
        _ = await release.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    g = await gate(waiting, max_in_flight=10)
    busy = [asyncio.create_task(g.client.get(PUBLIC)) for _ in range(8)]
    await asyncio.sleep(0.3)

    report = await g.client.get("/api/v1/assessment/daily-reports/2026-01-01")
    more = [asyncio.create_task(g.client.get(PUBLIC)) for _ in range(2)]
    await asyncio.sleep(0.3)
    full = await g.client.get(PUBLIC)
    release.set()
    statuses = [answer.status_code for answer in await asyncio.gather(*busy, *more)]

    problem(report, 503, "overloaded")
    problem(full, 503, "overloaded")
    assert (full.headers["retry-after"], set(statuses)) == ("2", {200})


async def test_service_in_the_same_process_is_called_directly(
    client_of: ClientFactory, keys: TestKeys, token: TokenFactory
) -> None:
    from gateway.main import create_gateway
    from gateway.settings import Settings

    service = await client_of("assessment")
    settings = Settings(jwks_url="http://127.0.0.1:1/", revocations_url="http://127.0.0.1:1/")
    app = create_gateway(settings, upstreams={"assessment": service.app}, verifier=keys.verifier())

    async with (
        serving(app) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        path = "/api/v1/assessment/daily-reports/2026-03-10"
        unpublished, live = (
            await client.get(path),
            await client.get(path, headers=token(kind="staff", roles=["leader"])),
        )

    assert (unpublished.status_code, live.status_code) == (404, 200)
    assert live.headers.get_list("x-request-id") == [live.headers["x-request-id"]]


def test_bucket_refills_with_time() -> None:
    buckets = Buckets(rate=2, burst=2)

    taken = [buckets.take("a", now).allowed for now in (0.0, 0.0, 0.0, 0.5, 0.5)]

    assert taken == [True, True, False, True, False]
    assert buckets.take("b", 0.5).allowed


def test_breaker_lets_one_try_through_and_closes_on_success() -> None:
    breaker = Breaker(failures=2, seconds=10)
    for _ in range(2):
        breaker.failed(0.0)

    waits = [breaker.wait(5.0), breaker.wait(10.0), breaker.wait(10.0)]
    breaker.succeeded()

    assert waits == [5.0, 0.0, 10.0]
    assert breaker.wait(10.0) == 0.0
