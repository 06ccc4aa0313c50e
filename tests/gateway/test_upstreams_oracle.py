"""The gateway's own client and one on aiohttp see the same exchanges."""

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple

import pytest

from gateway.upstreams import ServiceError, Upstream
from tests.gateway.aiohttp_upstream import AiohttpUpstream
from tests.gateway.test_upstreams import ANSWERS, Reader, Writer, listening


class Request(NamedTuple):
    """What a client asks."""

    method: str = "GET"
    target: bytes = b"/a?b=c"
    headers: Sequence[tuple[bytes, bytes]] = ((b"accept", b"*/*"),)
    body: bytes | None = None
    chunked: bool = False
    streamed: bool = False


class Outcome(NamedTuple):
    """What the service was sent, and what the client got: an answer, or an error of this class."""

    line: bytes
    sent_headers: list[tuple[bytes, bytes]]
    sent_body: bytes
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    error: str


REQUESTS = {
    "GET": Request(),
    "GET without a query": Request(target=b"/a/b%20c/%E4%BA%8B;x=1"),
    "headers that come twice": Request(
        headers=[(b"x-a", b"1"), (b"x-a", b"2"), (b"cookie", b"k=v")]
    ),
    "HEAD": Request("HEAD"),
    "DELETE": Request("DELETE"),
    "POST without a body": Request("POST"),
    "POST": Request(
        "POST", headers=[(b"content-type", b"a/b"), (b"content-length", b"5")], body=b"hello"
    ),
    "PUT in pieces": Request(
        "PUT", headers=[(b"content-length", b"10")], body=b"hello", streamed=True
    ),
    "PATCH chunked": Request("PATCH", body=b"hello", chunked=True),
    "POST chunked in pieces": Request("POST", body=b"hello", chunked=True, streamed=True),
}
MORE_ANSWERS = {
    "an error": (
        b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nContent-Length: 2\r\n\r\nno"
    ),
    "a redirect": b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
    "headers that come twice": (
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n"
    ),
    "a compressed body": (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00"
    ),
    "an end without a length": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "many bytes": b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n" + b"x" * 900_000,
    "a body cut short": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
    "chunks cut short": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
    "a head cut short": b"HTTP/1.1 200 OK\r\nContent-Le",
    "no HTTP": b"hello world, this is another protocol\r\n\r\n",
    "nothing": b"",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a length and chunks": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
}
EVERY_ANSWER = {**{name: answer for name, (answer, _, _) in ANSWERS.items()}, **MORE_ANSWERS}


class Recorder:
    """A raw server that reads one request, answers with given bytes and closes."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self.head = b""
        self.body = b""

    async def serve(self, reader: Reader, writer: Writer) -> None:
        self.head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", self.head, re.IGNORECASE)
        if b"chunked" in self.head.lower():
            self.body = await self._chunks(reader)
        elif length:
            self.body = await reader.readexactly(int(length[1]))
        writer.write(self._answer)
        await writer.drain()
        writer.close()

    async def _chunks(self, reader: Reader) -> bytes:
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += await reader.readexactly(size)
            _ = await reader.readexactly(2)
        _ = await reader.readexactly(2)
        return body


async def pieces(body: bytes) -> AsyncGenerator[bytes]:
    yield body
    await asyncio.sleep(0)
    yield body


async def exchange(upstream: Upstream | AiohttpUpstream, request: Request) -> Outcome:
    """One exchange with the answer's end or error; the server's view is filled in by `both`."""
    connection = await upstream.connection()
    body, error = b"", ""
    head = upstream.head(
        request.method, request.target, headers=list(request.headers), chunked=request.chunked
    )
    content: bytes | AsyncGenerator[bytes] | None = request.body
    if request.streamed and request.body is not None:
        content = pieces(request.body)
    try:
        await connection.ask(request.method, head, content=content, chunked=request.chunked)
        while piece := await connection.chunk():
            body += piece
    except ServiceError as failed:
        error = type(failed).__name__
    finally:
        connection.release()
    return Outcome(b"", [], b"", connection.status, sorted(connection.headers), body, error)


def as_sent(recorder: Recorder, outcome: Outcome) -> Outcome:
    line, *headers = recorder.head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    sent: list[tuple[bytes, bytes]] = []
    for header in headers:
        name, _, value = header.partition(b": ")
        if name.lower() != b"host":
            sent.append((name.lower(), value))
    return outcome._replace(line=line, sent_headers=sorted(sent), sent_body=recorder.body)


async def both(request: Request, answer: bytes) -> tuple[Outcome, Outcome]:
    """The same exchange by the gateway's client and by aiohttp."""
    recorder = Recorder(answer)
    async with listening(recorder.serve) as upstream:
        ours = as_sent(recorder, await exchange(upstream, request))
    recorder = Recorder(answer)
    async with listening(recorder.serve) as upstream:
        port = upstream._port  # pyright: ignore[reportPrivateUsage] - the server's own address
        other = AiohttpUpstream(f"http://127.0.0.1:{port}", 2.0, 5.0)
        async with contextlib.AsyncExitStack() as stack:
            _ = stack.push_async_callback(other.close)
            theirs = as_sent(recorder, await exchange(other, request))
    return ours, theirs


@pytest.mark.parametrize("name", REQUESTS)
async def test_service_is_sent_the_same(name: str) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

    ours, theirs = await both(REQUESTS[name], answer)

    if name == "DELETE":
        # aiohttp names the length of a body that is not there; RFC 9110 asks for it only where a
        # method usually has one.
        theirs.sent_headers.remove((b"content-length", b"0"))
    assert ours == theirs
    assert ours.status == 200


@pytest.mark.parametrize("name", EVERY_ANSWER)
async def test_caller_gets_the_same(name: str) -> None:
    ours, theirs = await both(REQUESTS["GET"], EVERY_ANSWER[name])

    if ours.error or theirs.error:
        # How much is known of a broken answer depends on the moment; that it is broken does not.
        assert ours.error == theirs.error == "ServiceError"
    else:
        assert ours == theirs


@pytest.mark.parametrize("method", ["HEAD", "POST"])
@pytest.mark.parametrize("name", ["a length", "204", "304 that names a length", "an error"])
async def test_answer_without_a_body_is_the_same(name: str, method: str) -> None:
    answer = EVERY_ANSWER[name]
    if method == "HEAD":
        answer = answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"

    ours, theirs = await both(Request(method), answer)

    assert ours == theirs
