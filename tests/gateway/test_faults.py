"""Right answers to faults of services and callers.

Each stands before a real upstream, or a raw caller that misbehaves.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Generator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits import RetryBudget
from tests.conftest import TokenFactory
from tests.gateway.conftest import GateFactory, raw

PUBLIC = "/api/v1/matters/catalogue"
CLOSED = "/api/v1/matters/work-list"
Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def deaf_port() -> Generator[int]:
    """A port whose backlog is full: connecting to it hangs."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            _ = waiting.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


async def test_connecting_that_hangs_is_504_at_the_limit(gate: GateFactory, deaf_port: int) -> None:
    g = await gate(upstreams={"matters": f"http://127.0.0.1:{deaf_port}"}, connect_timeout=0.3)
    started = time.monotonic()

    answer = await g.client.get(PUBLIC)

    assert (answer.status_code, answer.json()["code"]) == (504, "upstream_timeout")
    assert 0.25 < time.monotonic() - started < 3


async def test_caller_gone_within_its_upload_cuts_the_service(
    gate: GateFactory, token: TokenFactory
) -> None:
    taken, broken = asyncio.Event(), asyncio.Event()

    async def storing(reader: Reader, _w: Writer, _h: bytes) -> None:
        while chunk := await reader.read(100):
            if b"first part" in chunk:
                taken.set()
        broken.set()
        raise ConnectionError

    g = await gate(storing)
    _, writer = await asyncio.open_connection("127.0.0.1", g.port)
    head = (
        f"POST {CLOSED} HTTP/1.1\r\nHost: h\r\n"
        f"Authorization: {token()['Authorization']}\r\nContent-Length: 1000\r\n\r\n"
    )
    writer.write(head.encode() + b"first part")
    await writer.drain()
    async with asyncio.timeout(5):
        _ = await taken.wait()

        writer.close()

        assert await broken.wait()


async def test_body_that_stops_coming_is_408(gate: GateFactory, token: TokenFactory) -> None:
    async def storing(reader: Reader, _w: Writer, _h: bytes) -> None:
        _ = await reader.readexactly(1000)

    g = await gate(storing, body_timeout=0.3)
    head = (
        f"POST {CLOSED} HTTP/1.1\r\nHost: h\r\n"
        f"Authorization: {token()['Authorization']}\r\nContent-Length: 1000\r\n\r\n"
    )

    answer = await raw(g.port, head.encode() + b"a little")

    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"code":"request_timeout"' in answer
    assert (await g.client.get("/readyz")).json()["circuits"]["matters"] == "closed"


async def test_body_that_drips_is_408_however_short_its_silences(
    gate: GateFactory, token: TokenFactory
) -> None:
    async def storing(reader: Reader, _w: Writer, _h: bytes) -> None:
        _ = await reader.readexactly(1000)

    g = await gate(storing, body_timeout=0.5, body_rate=100.0)
    head = (
        f"POST {CLOSED} HTTP/1.1\r\nHost: h\r\n"
        f"Authorization: {token()['Authorization']}\r\nContent-Length: 1000\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", g.port)
    writer.write(head.encode())
    answering, started = asyncio.create_task(reader.read(100)), time.monotonic()

    while not answering.done():
        writer.write(b"x")
        _ = await asyncio.wait([answering], timeout=0.1)
        assert time.monotonic() - started < 5

    assert (await answering).startswith(b"HTTP/1.1 408")
    assert time.monotonic() - started > 0.5
    writer.close()


async def test_service_that_is_slow_to_take_a_body_is_not_the_callers_fault(
    gate: GateFactory, token: TokenFactory
) -> None:
    large = bytes(16 * 1024 * 1024)

    async def dozing(reader: Reader, writer: Writer, _h: bytes) -> None:
        await asyncio.sleep(1)
        _ = await reader.readexactly(len(large))
        writer.write(OK)
        await writer.drain()

    g = await gate(dozing, body_timeout=0.5, body_rate=1e9)

    assert (await g.client.post(CLOSED, content=large, headers=token())).status_code == 200


async def answering_much(_r: Reader, writer: Writer, _h: bytes) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 33554432\r\n\r\n")
    for _ in range(512):
        writer.write(bytes(65536))
        await writer.drain()


async def test_caller_that_stops_reading_is_cut_and_leaves_its_place(gate: GateFactory) -> None:
    g = await gate(answering_much, send_timeout=0.5, max_per_address=1)
    reader, writer = await asyncio.open_connection("127.0.0.1", g.port, limit=1024)
    writer.write(f"GET {PUBLIC} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    held = await g.client.get(PUBLIC)

    async with asyncio.timeout(5):
        _ = await g.upstream.closed.wait()
    await asyncio.sleep(0.2)
    async with g.client.stream("GET", PUBLIC) as freed:
        assert (held.status_code, freed.status_code) == (429, 200)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        _ = await reader.readexactly(33554432)
    writer.close()


async def test_caller_that_reads_slowly_gets_all(gate: GateFactory) -> None:
    g = await gate(answering_much, send_timeout=0.5)
    taken = 0

    async with g.client.stream("GET", PUBLIC) as answer:
        async for chunk in answer.aiter_bytes(2 * 1024 * 1024):
            taken += len(chunk)
            await asyncio.sleep(0.1)

    assert taken == 33554432


async def test_read_is_repeated_once_when_the_service_breaks_before_it_answers(
    gate: GateFactory,
) -> None:
    async def first_breaks(_r: Reader, writer: Writer, _h: bytes) -> None:
        if len(g.upstream.heads) == 1:
            writer.transport.abort()
            raise ConnectionError
        writer.write(OK)
        await writer.drain()

    g = await gate(first_breaks)

    answer = await g.client.get(PUBLIC)

    assert (answer.status_code, answer.text, len(g.upstream.heads)) == (200, "ok", 2)


@pytest.mark.parametrize(
    ("method", "body"),
    [("POST", b"x"), ("POST", b""), ("PUT", b"x"), ("DELETE", b""), ("GET", b"x")],
)
async def test_what_may_have_had_an_effect_is_never_repeated(
    gate: GateFactory, token: TokenFactory, method: str, body: bytes
) -> None:
    async def breaks(_r: Reader, writer: Writer, _h: bytes) -> None:
        writer.transport.abort()
        raise ConnectionError

    g = await gate(breaks)

    answer = await g.client.request(method, CLOSED, content=body, headers=token())

    assert (answer.status_code, len(g.upstream.heads)) == (502, 1)


async def test_answer_that_has_begun_is_never_repeated(gate: GateFactory) -> None:
    async def begins(_r: Reader, writer: Writer, _h: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.transport.abort()
        raise ConnectionError

    g = await gate(begins)

    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        _ = await g.client.get(PUBLIC)

    assert len(g.upstream.heads) == 1


async def test_service_in_trouble_gets_a_tenth_more_at_most(gate: GateFactory) -> None:
    async def breaks(_r: Reader, writer: Writer, _h: bytes) -> None:
        writer.transport.abort()
        raise ConnectionError

    g = await gate(breaks, breaker_failures=10_000)

    statuses = {(await g.client.get(PUBLIC)).status_code for _ in range(100)}

    assert statuses == {502}
    assert 110 <= len(g.upstream.heads) <= 100 + 10 + 10


@given(st.lists(st.booleans(), max_size=200), st.floats(0, 1))
def test_retries_never_exceed_their_share_and_what_was_saved(
    asks: list[bool], share: float
) -> None:
    budget = RetryBudget(share)
    retries = 0

    for asked in asks:
        budget.earn()
        retries += asked and budget.spend()

    assert retries <= 10 + share * len(asks)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"2\r\nok\r\n0\r\n\r\n"
        ),
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
        b"nonsense\r\n\r\n",
    ],
)
async def test_answer_with_two_lengths_or_none_at_all_is_502(
    gate: GateFactory, answer: bytes
) -> None:
    async def fixed(_r: Reader, writer: Writer, _h: bytes) -> None:
        writer.write(answer)
        await writer.drain()

    g = await gate(fixed)

    assert (await g.client.get(PUBLIC)).status_code == 502


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 6\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 0x5\r\n",
        "X: y\r\n Content-Length: 5\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n",
    ],
)
async def test_request_with_two_meanings_is_refused_and_reaches_nobody(
    gate: GateFactory, token: TokenFactory, head: str
) -> None:
    g = await gate()
    inner = "0\r\n\r\nGET /api/v1/matters/smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
    request = (
        f"POST {CLOSED} HTTP/1.1\r\nHost: h\r\n"
        f"Authorization: {token()['Authorization']}\r\n{head}\r\n{inner}"
    )

    answer = await raw(g.port, request.encode())

    assert answer.startswith(b"HTTP/1.1 400")
    assert g.upstream.heads == []


INNER = b"GET /api/v1/matters/smuggled HTTP/1.1\r\nHost: h\r\nX-User-Id: admin\r\n\r\n"


async def reading(reader: Reader, writer: Writer, head: bytes) -> None:
    """A service that trusts the lengths it is told."""
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0] or 0)
    _ = await reader.readexactly(length)
    writer.write(OK)
    await writer.drain()


@pytest.mark.parametrize(
    "lines", ["Connection: content-length\r\n", "Connection: close, Content-Length\r\n"]
)
async def test_length_stays_whatever_connection_names(
    gate: GateFactory, token: TokenFactory, lines: str
) -> None:
    g = await gate(reading)
    head = (
        f"POST {CLOSED} HTTP/1.1\r\nHost: h\r\nAuthorization: {token()['Authorization']}\r\n{lines}"
    )

    answer = await raw(g.port, f"{head}Content-Length: {len(INNER)}\r\n\r\n".encode() + INNER)
    after = await g.client.get(PUBLIC)

    assert answer.startswith(b"HTTP/1.1 200")
    assert after.status_code == 200
    assert [head.split(b" ")[1] for head in g.upstream.heads] == [CLOSED.encode(), PUBLIC.encode()]


async def test_upgrade_cannot_announce_a_body_that_never_goes_on(
    gate: GateFactory, token: TokenFactory
) -> None:
    g = await gate(reading, read_timeout=1)
    head = f"POST {CLOSED} HTTP/1.1\r\nHost: h\r\nAuthorization: {token()['Authorization']}\r\n"

    answer = await raw(
        g.port,
        f"{head}Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 1000\r\n\r\n".encode(),
    )

    assert answer.startswith(b"HTTP/1.1 400")
    assert g.upstream.heads == []
    assert (await g.client.get("/readyz")).json()["circuits"]["matters"] == "closed"


async def test_headers_named_by_any_connection_line_go_no_further(gate: GateFactory) -> None:
    g = await gate()
    head = (
        f"GET {PUBLIC} HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\n"
        "Connection: x-own\r\nX-Own: 1\r\nX-Kept: 1\r\n\r\n"
    )

    _ = await raw(g.port, head.encode())

    assert ("x-own" in g.sent, g.sent["x-kept"]) == (False, "1")


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_answer_without_a_body_may_name_a_length(gate: GateFactory, status: bytes) -> None:
    async def fixed(_r: Reader, writer: Writer, _h: bytes) -> None:
        writer.write(b"HTTP/1.1 " + status + b'\r\nETag: "1"\r\nContent-Length: 500\r\n\r\n')
        await writer.drain()

    g = await gate(fixed)

    answers = [await g.client.get(PUBLIC) for _ in range(2)]

    assert [(one.status_code, one.headers["etag"], one.content) for one in answers] == [
        (int(status[:3]), '"1"', b"")
    ] * 2


@pytest.mark.parametrize("status", [b"099", b"600", b"999"])
async def test_status_that_is_none_is_502(gate: GateFactory, status: bytes) -> None:
    async def fixed(_r: Reader, writer: Writer, _h: bytes) -> None:
        writer.write(b"HTTP/1.1 " + status + b" Odd\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()

    g = await gate(fixed)

    assert (await g.client.get(PUBLIC)).status_code == 502
