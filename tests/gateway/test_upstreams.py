"""The client in front of the services, as a protocol.

Every answer is whole however it is cut, and nothing of one exchange gets into the next.
"""

import asyncio
import contextlib
import gc
import itertools
import ssl
import time
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import upstreams
from gateway.messages import ClientGone, incoming
from gateway.problems import BadRequestError, Headers
from gateway.upstreams import Connection, ServiceError, ServiceTimeoutError, Upstream
from tests.builders.certificates import a_certificate

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter
Handler = Callable[[Reader, Writer], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HEADERS: Headers = [(b"accept", b"*/*")]


class Service:
    """A raw server that answers with bytes; counts its connections and keeps what it was sent."""

    def __init__(self, *answers: bytes, then_close: bool = False, pieces: int = 0) -> None:
        self._answers = list(answers)
        self._then_close = then_close
        self._pieces = pieces
        self.connections = 0
        self.heads: list[bytes] = []
        self.url = ""

    async def serve(self, reader: Reader, writer: Writer) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
                for at in range(0, len(answer), self._pieces or len(answer) or 1):
                    writer.write(answer[at : at + (self._pieces or len(answer))])
                    await writer.drain()
                    if self._pieces:
                        await asyncio.sleep(0)
                if self._then_close:
                    break
        writer.close()


@contextlib.asynccontextmanager
async def listening(
    serve: Handler, tls: ssl.SSLContext | None = None, read_timeout: float = 5.0
) -> AsyncGenerator[Upstream]:
    tasks = set[asyncio.Task[None]]()

    async def kept(reader: Reader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(
            asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError
        ):
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(kept, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    upstream = Upstream(
        f"http{'s' if tls else ''}://127.0.0.1:{port}",
        connect_timeout=2.0,
        read_timeout=read_timeout,
    )
    try:
        yield upstream
    finally:
        upstream.close()
        server.close()
        for task in tasks:
            _ = task.cancel()
        _ = await asyncio.gather(*tasks, return_exceptions=True)


async def exchanged(
    upstream: Upstream,
    method: str = "GET",
    content: bytes | AsyncGenerator[bytes] | None = None,
    chunked: bool = False,
    headers: Headers = HEADERS,
) -> tuple[int, Headers, bytes]:
    connection = await upstream.connection()
    try:
        head = upstream.head(method, b"/a?b=c", headers=headers, chunked=chunked)
        await connection.ask(method, head, content=content, chunked=chunked)
        body = b""
        while piece := await connection.chunk():
            body += piece
        return connection.status, connection.headers, body
    finally:
        connection.release()


ANSWERS = {
    "a length": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\nX-A: b\r\n\r\nhello world",
        200,
        b"hello world",
    ),
    "chunks": (
        (
            b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\n\r\n"
        ),
        201,
        b"hello world",
    ),
    "trailers": (
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"2\r\nok\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n"
        ),
        200,
        b"ok",
    ),
    "nothing": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, b""),
    "interim answers": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK,
        200,
        b"ok",
    ),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    "304 that names a length": (
        b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\nContent-Length: 500\r\n\r\n',
        304,
        b"",
    ),
}


@pytest.mark.parametrize("pieces", [0, 1, 7])
@pytest.mark.parametrize("kind", ANSWERS)
async def test_answer_is_whole_however_it_is_cut_and_the_connection_is_used_again(
    kind: str, pieces: int
) -> None:
    answer, status, body = ANSWERS[kind]
    service = Service(answer, pieces=pieces)

    async with listening(service.serve) as upstream:
        found = [await exchanged(upstream) for _ in range(3)]

    assert [(one[0], one[2]) for one in found] == [(status, body)] * 3
    assert service.connections == 1
    assert all(name == name.lower() for name, _ in found[0][1])
    assert not {b"link", b"x-sum", b"x-more"} & {name for name, _ in found[0][1]}


@given(st.sampled_from(sorted(ANSWERS)), st.lists(st.integers(1, 200), max_size=12))
def test_every_cut_of_an_answer_means_the_same(kind: str, cuts: list[int]) -> None:
    answer, status, body = ANSWERS[kind]
    places = sorted({0, len(answer), *(cut for cut in cuts if cut < len(answer))})

    async def read() -> tuple[int, bytes, bool]:
        connection, _wire = _connected()
        asking = asyncio.create_task(connection.ask("GET", b"", content=None, chunked=False))
        await asyncio.sleep(0)
        for first, last in itertools.pairwise(places):
            connection.data_received(answer[first:last])
        await asking
        taken = b""
        while piece := await connection.chunk():
            taken += piece
        return connection.status, taken, connection.complete

    assert asyncio.run(read()) == (status, body, True)


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def _connected(patience: float = 5.0) -> tuple[Connection, Wire]:
    connection, wire = Connection(patience, []), Wire()
    connection.connection_made(wire)
    return connection, wire


@given(st.lists(st.binary(max_size=70_000), max_size=6))
def test_chunks_carry_the_body_to_the_byte(pieces: list[bytes]) -> None:
    async def send() -> bytes:
        connection, wire = _connected()

        async def content() -> AsyncGenerator[bytes]:
            for piece in pieces:
                yield piece

        asking = asyncio.create_task(connection.ask("POST", b"", content=content(), chunked=True))
        while not wire.written.endswith(b"0\r\n\r\n"):
            await asyncio.sleep(0)
        connection.data_received(OK)
        await asking
        return wire.written

    rest, body = asyncio.run(send()), b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        body, end, rest = body + rest[:length], rest[length : length + 2], rest[length + 2 :]
        assert end == b"\r\n"
        assert bool(length) == bool(rest), "only the last chunk is empty"

    assert body == b"".join(pieces)


@pytest.mark.parametrize(
    "surplus",
    [
        OK + b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad",
        OK + b"garbage",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nbad",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
)
async def test_connection_with_anything_left_on_it_is_not_used_again(surplus: bytes) -> None:
    service = Service(surplus, OK)

    async with listening(service.serve) as upstream:
        first, second = await exchanged(upstream), await exchanged(upstream)

    assert first[2] in {b"ok", b""}
    assert second[2] == b"ok"
    assert service.connections == 2


async def test_body_in_answer_to_head_is_never_the_next_answer() -> None:
    service = Service(
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 38\r\n\r\n"
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        ),
        OK,
    )

    async with listening(service.serve) as upstream:
        first, second = await exchanged(upstream, "HEAD"), await exchanged(upstream)

    assert (first[0], first[2], second[2], service.connections) == (200, b"", b"ok", 2)


async def test_what_comes_unasked_ends_a_free_connection() -> None:
    service, said = Service(OK), asyncio.Event()

    async def talking(reader: Reader, writer: Writer) -> None:
        serving = asyncio.create_task(service.serve(reader, writer))
        if not said.is_set():
            _ = await said.wait()
            writer.write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        await serving

    async with listening(talking) as upstream:
        _ = await exchanged(upstream)
        said.set()
        await asyncio.sleep(0.1)
        second = await exchanged(upstream)

    assert (second[0], service.connections) == (200, 2)


async def test_message_without_a_length_ends_with_its_connection() -> None:
    service = Service(b"HTTP/1.1 200 OK\r\n\r\nuntil the end", then_close=True)

    async with listening(service.serve) as upstream:
        found = [await exchanged(upstream) for _ in range(2)]

    assert [(one[0], one[2]) for one in found] == [(200, b"until the end")] * 2
    assert service.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
)
async def test_message_that_is_cut_off_is_never_a_whole_one(answer: bytes) -> None:
    service = Service(answer, then_close=True)

    async with listening(service.serve) as upstream:
        with pytest.raises(ServiceError):
            _ = await exchanged(upstream)


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"2\r\nok\r\n0\r\n\r\n"
        ),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: b\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 70_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 4_000,
    ],
)
async def test_what_is_no_answer_is_an_error_and_ends_the_connection(answer: bytes) -> None:
    service = Service(answer, OK)

    async with listening(service.serve) as upstream:
        with pytest.raises(ServiceError):
            _ = await exchanged(upstream)
        assert (await exchanged(upstream))[2] == b"ok"

    assert service.connections == 2


async def test_answer_before_the_body_is_sent_is_an_answer() -> None:
    ended, broken = asyncio.Event(), asyncio.Event()

    async def refusing(reader: Reader, writer: Writer) -> None:
        _ = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        await writer.drain()
        while await reader.read(65536):
            pass
        broken.set()

    async def content() -> AsyncGenerator[bytes]:
        try:
            yield b"first"
            await asyncio.sleep(60)
        finally:
            ended.set()

    async with listening(refusing) as upstream:
        found = await exchanged(upstream, "POST", content(), chunked=True)
        async with asyncio.timeout(5):
            _ = await ended.wait()
            _ = await broken.wait()

    assert (found[0], found[2]) == (413, b"big")


async def test_fault_of_the_body_is_what_is_raised() -> None:
    async def content() -> AsyncGenerator[bytes]:
        yield b"first"
        raise ClientGone

    async with listening(Service(OK).serve) as upstream:
        with pytest.raises(ClientGone):
            _ = await exchanged(upstream, "POST", content(), chunked=True)


async def test_silence_ends_the_exchange_in_time_also_on_a_used_connection() -> None:
    service = Service(OK, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    clock = asyncio.get_running_loop().time

    async with listening(service.serve, read_timeout=0.4) as upstream:
        _ = await exchanged(upstream)
        await asyncio.sleep(0.3)
        started = clock()
        with pytest.raises(ServiceTimeoutError):
            _ = await exchanged(upstream)

        assert 0.35 < clock() - started < 3


async def test_service_that_takes_no_body_is_late_and_one_whose_caller_is_slow_is_not() -> None:
    release = asyncio.Event()

    async def deaf(reader: Reader, writer: Writer) -> None:
        _ = await reader.readuntil(b"\r\n\r\n")
        _ = await release.wait()
        writer.write(OK)

    async def much() -> AsyncGenerator[bytes]:
        for _ in range(1000):
            yield bytes(65536)

    async def slow() -> AsyncGenerator[bytes]:
        yield b"a"
        await asyncio.sleep(0.7)
        yield b"b"
        release.set()

    async with listening(deaf, read_timeout=0.3) as upstream:
        with pytest.raises(ServiceTimeoutError):
            _ = await exchanged(upstream, "POST", much(), chunked=True)
        assert (await exchanged(upstream, "POST", slow(), chunked=True))[2] == b"ok"


async def test_answer_that_is_slowly_taken_is_not_read_ahead_without_end_nor_late() -> None:
    size, sent = 8 * 1024 * 1024, 0

    async def large(reader: Reader, writer: Writer) -> None:
        nonlocal sent
        _ = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // 65536):
            writer.write(bytes(65536))
            await writer.drain()
            sent += 65536
        await asyncio.sleep(5)

    async with listening(large, read_timeout=0.3) as upstream:
        connection = await upstream.connection()
        await connection.ask(
            "GET",
            upstream.head("GET", b"/", headers=HEADERS, chunked=False),
            content=None,
            chunked=False,
        )
        await asyncio.sleep(0.6)
        ahead, taken = sent, 0
        while piece := await connection.chunk():
            taken += len(piece)
        connection.release()

    assert taken == size
    assert ahead < size, "the service had to wait"


@pytest.mark.parametrize(
    "word", [b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"HTTP/1.1 102 Processing\r\n\r\n"]
)
async def test_service_that_speaks_but_takes_nothing_is_sent_no_more_than_it_has_room_for(
    word: bytes,
) -> None:
    given = 0

    async def speaking(reader: Reader, writer: Writer) -> None:
        _ = await reader.readuntil(b"\r\n\r\n")
        for _ in range(40):
            writer.write(word)
            await writer.drain()
            await asyncio.sleep(0.02)

    async def much() -> AsyncGenerator[bytes]:
        nonlocal given
        for _ in range(1000):
            given += 65536
            yield bytes(65536)

    async with listening(speaking, read_timeout=0.5) as upstream:
        connection = await upstream.connection()
        head = upstream.head("POST", b"/", headers=HEADERS, chunked=True)
        with pytest.raises(ServiceError):
            await connection.ask("POST", head, content=much(), chunked=True)
            await asyncio.sleep(0.5)
            while await connection.chunk():
                pass
        connection.release()

    assert given < 32 * 1024 * 1024


async def test_connection_that_ended_is_forgotten_at_once() -> None:
    async def cut(reader: Reader, writer: Writer) -> None:
        _ = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf")
        await writer.drain()

    async def ended(upstream: Upstream) -> weakref.ref[Connection]:
        connection = await upstream.connection()
        await connection.ask(
            "GET",
            upstream.head("GET", b"/", headers=HEADERS, chunked=False),
            content=None,
            chunked=False,
        )
        with contextlib.suppress(ServiceError):
            while await connection.chunk():
                pass
        connection.release()
        return weakref.ref(connection)

    gc.disable()
    try:
        async with listening(cut) as upstream:
            kept = await ended(upstream)
            await asyncio.sleep(0.05)
            assert kept() is None
    finally:
        gc.enable()


async def test_answer_that_came_while_the_loop_was_busy_is_not_late() -> None:
    connection, _wire = _connected(patience=0.2)
    asking = asyncio.create_task(connection.ask("GET", b"", content=None, chunked=False))
    await asyncio.sleep(0)
    connection.data_received(OK)
    time.sleep(0.3)  # noqa: ASYNC251 - the loop is busy when the answer and the limit come

    await asking
    assert connection.status == 200


async def test_free_connections_end_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(OK)
    async with listening(service.serve) as upstream:
        connections = [await upstream.connection() for _ in range(3)]
        for connection in connections:
            await connection.ask(
                "GET",
                upstream.head("GET", b"/", headers=HEADERS, chunked=False),
                content=None,
                chunked=False,
            )
            _ = await connection.chunk()
            connection.release()
        monkeypatch.setattr(upstreams, "KEPT_SECONDS", 0.05)
        await asyncio.sleep(0.1)

        _ = await exchanged(upstream)
        await asyncio.sleep(0.05)

        assert [one.closing for one in connections] == [True] * 3
        assert service.connections == 4


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        (b"/a b", HEADERS),
        (b"/a\r\nX: y", HEADERS),
        (b"/", [(b"x", b"a\r\nb: c")]),
        (b"/", [(b"x", b"a\nb: c")]),
        (b"/", [(b"x", b"a\0b")]),
        (b"/", [(b"x\r\ny", b"a")]),
    ],
)
async def test_head_with_two_meanings_is_refused(target: bytes, headers: Headers) -> None:
    upstream = Upstream("http://127.0.0.1:1", connect_timeout=1, read_timeout=1)

    with pytest.raises(BadRequestError) as refused:
        _ = upstream.head("GET", target, headers=headers, chunked=False)

    assert refused.value.status == 400


@pytest.mark.parametrize("url", ["127.0.0.1:80", "ftp://h", "http://", ""])
def test_address_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="no address of a service"):
        _ = Upstream(url, connect_timeout=1, read_timeout=1)


async def test_head_names_host_prefix_and_framing() -> None:
    upstream = Upstream("http://services:8001/base/", connect_timeout=1, read_timeout=1)

    head = upstream.head("POST", b"/a?b=c", headers=HEADERS, chunked=True)

    assert head == (
        b"POST /base/a?b=c HTTP/1.1\r\nhost: services:8001\r\naccept: */*\r\n"
        b"transfer-encoding: chunked\r\n\r\n"
    )


def test_headers_that_the_service_ties_to_its_connection_go_no_further() -> None:
    headers = [
        (b"connection", b"close, X-Own"),
        (b"x-own", b"1"),
        (b"keep-alive", b"5"),
        (b"etag", b'"1"'),
    ]

    assert incoming(headers, 200) == [(b"etag", b'"1"')]


async def test_service_behind_tls_is_known_by_its_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, public = a_certificate(tmp_path, "127.0.0.1")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(both)
    service = Service(OK)
    async with listening(service.serve, tls) as strange:
        with pytest.raises(ServiceError):
            _ = await exchanged(strange)
    monkeypatch.setenv("SSL_CERT_FILE", str(public))

    async with listening(service.serve, tls) as known:
        found = [await exchanged(known) for _ in range(2)]

    assert [one[2] for one in found] == [b"ok", b"ok"]
    assert service.connections == 1
