"""HTTP/1.1 client of the gateway, with what a forwarder needs and no more (docs/adr/0015).

llhttp (`httptools`) parses the answers, as it parses the callers' requests. A connection carries
one exchange at a time. It is used again only when both messages ended exactly where they should.
"""

import asyncio
import math
import ssl
from collections.abc import AsyncGenerator
from typing import cast
from urllib.parse import urlsplit

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from gateway.messages import BODYLESS
from gateway.problems import BadRequestError, Headers

KEPT_SECONDS = 15.0
"""How long a free connection may be used again: less than the services keep theirs (75 s)."""
HEAD_LIMIT = 64 * 1024
"""Most bytes of an answer's head, interim answers included."""
BUFFERED = 256 * 1024
"""Bytes that are kept for a slow caller; above this the service is not read."""
WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
"""A request of these methods without a body sends `content-length: 0` (RFC 9110, 8.6)."""


class ServiceError(Exception):
    """The service cannot be reached, broke off, or does not speak HTTP."""


class ServiceTimeoutError(ServiceError):
    """The service did not accept, take or say anything for too long."""


class Upstream:
    """One service's address, and its free connections.

    Args:
        url: `http://host:port` or `https://…`; a path in it is put before every target.
        connect_timeout: seconds until a connection must be established.
        read_timeout: seconds that the service may send or read nothing while it is its turn.

    Raises:
        ValueError: `url` is not such an address.
    """

    def __init__(self, url: str, *, connect_timeout: float, read_timeout: float) -> None:
        self.url = url
        parts = urlsplit(url)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"{url!r} is no address of a service: http://host:port")
        self._host = parts.hostname
        self._port = parts.port or (443 if self._tls else 80)
        self._prefix = parts.path.rstrip("/").encode("latin-1")
        self._named = b" HTTP/1.1\r\nhost: %b\r\n" % parts.netloc.rpartition("@")[2].encode("ascii")
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._free: list[Connection] = []

    async def connection(self) -> "Connection":
        """A connection for one exchange: a free one, else a new one.

        Raises:
            ServiceError: the service cannot be reached.
            ServiceTimeoutError: not within `connect_timeout`.
        """
        now = asyncio.get_running_loop().time()
        while self._free:
            # The one that was used last: the others grow old and are closed.
            free = self._free.pop()
            if now - free.freed < KEPT_SECONDS and not free.closing:
                return free
            free.close()
        try:
            async with asyncio.timeout(self._connect_timeout):
                return await self._connect()
        except TimeoutError as error:
            raise ServiceTimeoutError("no connection in time") from error
        except OSError as error:
            raise ServiceError("no connection") from error

    async def _connect(self) -> "Connection":
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: Connection(self._read_timeout, self._free),
            self._host,
            self._port,
            ssl=self._tls,
        )
        return connection

    async def is_ready(self, within: float) -> bool:
        """Whether `/readyz` answers 200 within so many seconds, over a connection of its own."""
        head = self.head("GET", b"/readyz", headers=[(b"connection", b"close")], chunked=False)
        try:
            async with asyncio.timeout(within):
                connection = await self._connect()
                try:
                    await connection.ask("GET", head, content=None, chunked=False)
                    return connection.status == 200
                finally:
                    connection.release()
        except (OSError, ServiceError):  # a TimeoutError is an OSError
            return False

    def head(self, method: str, target: bytes, *, headers: Headers, chunked: bool) -> bytes:
        """The head of a request as it is sent.

        Args:
            headers: without hop-by-hop headers; with the true `content-length` when there is a
                body that is not `chunked`.

        Raises:
            BadRequestError: the head could be read in two ways.
        """
        if chunked:
            headers = [*headers, (b"transfer-encoding", b"chunked")]
        elif method in WITH_BODY and not any(name == b"content-length" for name, _ in headers):
            headers = [*headers, (b"content-length", b"0")]
        lines = [method.encode("ascii"), b" ", self._prefix, target, self._named]
        for name, value in headers:
            lines += (name, b": ", value, b"\r\n")
        lines.append(b"\r\n")
        head, ends = b"".join(lines), len(headers) + 3
        # uvicorn's parser refuses such bytes already. This is the second line of defence against
        # request smuggling.
        if (
            head.count(b"\n") != ends
            or head.count(b"\r") != ends
            or b"\0" in head
            or b" " in target
        ):
            raise BadRequestError("the head has stray spaces or line ends")
        return head

    def close(self) -> None:
        while self._free:
            self._free.pop().close()


class Connection(asyncio.Protocol):
    """One exchange at a time: `ask`, then `chunk` until it is empty, then always `release`."""

    def __init__(self, patience: float, free: "list[Connection]") -> None:
        self.status = 0
        """Status of the answer; 0 until its head is complete."""
        self.headers: Headers = []
        """Headers of the answer, names in lower case."""
        self.complete = False
        """Whether the answer has ended as it should."""
        self.freed = 0.0
        """When the last exchange ended, by the loop's clock (seconds)."""
        self._patience = patience
        self._free = free
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._parser: HttpResponseParser | None = None
        self._method = ""
        self._chunks: list[bytes] = []
        self._buffered = 0
        self._head_bytes = 0
        self._reusable = False
        self._lost = False
        self._stopped = False
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._sending: asyncio.Task[None] | None = None
        self._due = math.inf
        self._timer: asyncio.TimerHandle | None = None

    # -- what the forwarder calls

    async def ask(
        self,
        method: str,
        head: bytes,
        *,
        content: bytes | AsyncGenerator[bytes] | None,
        chunked: bool,
    ) -> None:
        """Send a request and wait for the head of the answer.

        `content` is the body, `chunked` or of the length that the head declares. An answer that
        comes before the whole body is sent is valid.

        Raises:
            ServiceError: the service broke off or does not speak HTTP.
            ServiceTimeoutError: the service was silent for too long.
            Exception: what `fail` was given, or what reading `content` raised.
        """
        if self._lost:
            raise ServiceError("broke off")
        self.status, self.headers, self.complete = 0, [], False
        self._method, self._parser = method, HttpResponseParser(self)
        self._head_bytes, self._reusable, self._due = 0, False, 0.0
        if content is None:
            self._transport.write(head)
        elif isinstance(content, bytes):
            body = b"%b0\r\n\r\n" % _framed(content) if chunked else content
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._due = math.inf
            self._sending = asyncio.create_task(self._send(content, chunked))
        while not self.status:
            await self._more()

    async def chunk(self) -> bytes:
        """What came of the body since the last call; empty at its end. Raises like `ask`."""
        while not self._chunks:
            if self.complete:
                return b""
            await self._more()
        chunks = self._chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._chunks, self._buffered = [], 0
        if self._stopped and not self._lost:
            self._stopped = False
            self._transport.resume_reading()
        return data

    @property
    def ended(self) -> bool:
        """The answer is complete and all of it has been taken."""
        return self.complete and not self._chunks

    @property
    def closing(self) -> bool:
        return self._transport.is_closing()

    def fail(self, error: BaseException) -> None:
        """End the exchange and the connection; whoever waits gets `error`."""
        if self._error is None:
            self._error = error
        self._reusable = False
        self.close()
        self._wake()
        self.resume_writing()

    def release(self) -> None:
        """End the exchange.

        The connection becomes free if nothing is left on it, else it is closed.
        """
        sent = self._sending is None or self._sending.done()
        if self.ended and self._reusable and sent and not self._lost:
            self._parser, self._sending, self._due = None, None, math.inf
            self.freed = self._loop.time()
            self._free.append(self)
            while self.freed - self._free[0].freed > KEPT_SECONDS:
                self._free.pop(0).close()
            return
        if self._sending is not None:
            _ = self._sending.cancel()
        self.close()
        # Break reference cycles: the cyclic garbage collector rarely runs in this process.
        self._parser, self._error, self._chunks = None, None, []

    def close(self) -> None:
        self._lost = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._transport.abort()

    # -- waiting

    async def _more(self) -> None:
        """Wait until something came, or raise what ended the exchange."""
        if self._error is not None:
            raise self._error
        if self._due != math.inf:
            self._due = self._loop.time() + self._patience
        if self._timer is None:
            self._timer = self._loop.call_later(self._patience, self._check_deadline)
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
        if self._error is not None:
            raise self._error

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _check_deadline(self) -> None:
        """End the exchange when the service is late; one timer serves all waits of an exchange."""
        left = self._due - self._loop.time()
        self._timer = None
        if self._waiter is None or self._waiter.done():
            return
        if left <= 0:
            self.fail(ServiceTimeoutError("nothing came in time"))
        else:
            self._timer = self._loop.call_later(
                min(max(left, 0.001), self._patience), self._check_deadline
            )

    async def _send(self, content: AsyncGenerator[bytes], chunked: bool) -> None:
        """Send the body as it comes.

        While the caller is slow, no deadline of the service runs.
        """
        try:
            async for piece in content:
                self._due = self._loop.time() + self._patience
                framed = _framed(piece) if chunked else piece
                self._transport.write(framed)
                if self._room is not None:
                    await self._room
                    self._room = None
                if self._lost:
                    return
                self._due = math.inf
            if chunked:
                self._transport.write(b"0\r\n\r\n")
            self._due = self._loop.time() + self._patience
        except Exception as error:
            self.fail(error)

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        if self in self._free:
            self._free.remove(self)
        if self._parser is not None and not self.complete and self._error is None:
            # The end of the connection is the end of an answer that declares no length.
            if exc is None and self._ends_with_connection():
                self.complete = True
            else:
                self._error = ServiceError("broke off")
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake()
        self.resume_writing()

    def _ends_with_connection(self) -> bool:
        if not self.status:
            return False
        names = {name for name, _ in self.headers}
        return not names & {b"content-length", b"transfer-encoding"}

    def pause_writing(self) -> None:
        self._room = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def data_received(self, data: bytes) -> None:
        parser = self._parser
        if parser is None:  # nobody asked for anything
            self.close()
            return
        if not self.status:
            self._head_bytes += len(data)
        try:
            parser.feed_data(data)
        # An upgrade is an error too: the gateway asks for none.
        except (HttpParserError, HttpParserUpgrade) as error:
            self._reusable = False
            if not self.complete:
                self.fail(ServiceError(str(error)))
                return
        if not self.status and self._head_bytes > HEAD_LIMIT:
            self.fail(ServiceError("the head is too long"))
            return
        self._wake()

    # -- llhttp's callbacks

    def on_message_begin(self) -> None:
        if self.complete:
            self._reusable = False  # more than was asked for

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.status:  # later ones are trailers, which are dropped
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        parser = cast("HttpResponseParser", self._parser)
        status = parser.get_status_code()
        if self.complete:
            return
        if not 100 <= status <= 599 or status == 101:
            raise HttpParserError("unexpected status")
        if status < 200:
            self.headers = []  # an interim answer: the real one follows
            return
        codings = [value.lower() for name, value in self.headers if name == b"transfer-encoding"]
        if codings not in ([], [b"chunked"]):
            raise HttpParserError("unexpected transfer coding")
        self.status = status
        self._reusable = parser.should_keep_alive()
        if self._method == "HEAD" or status in BODYLESS:
            self.complete = True  # whatever lengths its head names

    def on_body(self, data: bytes) -> None:
        if self.complete:
            self._reusable = False
        elif self.status:
            self._chunks.append(data)
            self._buffered += len(data)
            if self._buffered > BUFFERED and not self._stopped:
                self._stopped = True
                self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if self.status:
            self.complete = True


def _framed(piece: bytes) -> bytes:
    """The piece as a chunk; nothing for an empty piece, which would end the message."""
    if not piece:
        return b""
    return b"%x\r\n%b\r\n" % (len(piece), piece)
