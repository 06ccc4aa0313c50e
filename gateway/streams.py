"""Bodies in both directions: streamed as they come, limited, and cut at once when the caller leaves."""

import asyncio
from collections.abc import AsyncGenerator

from starlette.types import Message, Receive, Scope

from gateway.messages import ClientGone, value
from gateway.problems import BadRequestError, PayloadTooLargeError, RequestTimeoutError
from gateway.settings import Settings
from gateway.upstreams import Connection

WATCH_AFTER = 0.05
"""Seconds (up to twice as many) before the caller's connection is watched: most answers are there sooner."""


def too_large(limit: int) -> PayloadTooLargeError:
    return PayloadTooLargeError("at most {limit} bytes", limit=limit)


def declared_length(scope: Scope) -> int | None:
    """Content-Length, where it counts: a body that is chunked has none."""
    text = value(scope["headers"], b"content-length").strip()
    if not text or value(scope["headers"], b"transfer-encoding"):
        return None
    if not (text.isascii() and text.isdigit()):
        raise BadRequestError("Content-Length is no number")
    return int(text)


class Body:
    """The request's body as it comes, and after it the watch for the caller's leaving."""

    def __init__(
        self, scope: Scope, receive: Receive, settings: Settings, length: int | None
    ) -> None:
        self.chunked = bool(value(scope["headers"], b"transfer-encoding"))
        self.expected = self.chunked or bool(length)
        self._receive = receive
        self._length = length
        self._limit = settings.max_body_bytes
        self._patience = settings.body_timeout
        self._rate = settings.body_rate
        self._waited = 0.0
        self._complete = not self.expected
        self._taken = 0

    async def content(self) -> bytes | AsyncGenerator[bytes] | None:
        """What to send on: nothing, a body that came in one piece as it is (most do, and it is cheaper), else a stream."""
        if not self.expected:
            return None
        first = await self._piece()
        return first if self._complete else self._chunks(first)

    async def _chunks(self, piece: bytes) -> AsyncGenerator[bytes]:
        """The body piece by piece."""
        if piece:
            yield piece
        while not self._complete:
            if piece := await self._piece():
                yield piece

    async def _piece(self) -> bytes:
        message = await self._next()
        piece: bytes = message.get("body", b"")
        self._taken += len(piece)
        if self._taken > self._limit:
            raise too_large(self._limit)
        self._complete = not message.get("more_body", False)
        if self._complete and not self.chunked and self._taken != self._length:
            # The server in front reads no body after `Upgrade`, whatever length was declared.
            raise BadRequestError("the body is not as long as its Content-Length says")
        return piece

    async def _next(self) -> Message:
        """The next message. Only the time that the caller is waited for counts: a service may be slow to take the body."""
        clock = asyncio.get_running_loop().time
        begun = clock()
        left = self._patience + self._taken / self._rate - self._waited
        try:
            async with asyncio.timeout(min(self._patience, left)):
                message = await self._receive()
            self._waited += clock() - begun
        except TimeoutError:
            raise RequestTimeoutError("the body stopped coming") from None
        if message["type"] == "http.disconnect":
            raise ClientGone
        return message

    async def watch(self, connection: Connection) -> None:
        """Once the body is in, wait for the caller to go, then end the exchange."""
        while not self._complete:  # noqa: ASYNC110 - the upload itself sees the caller leave
            await asyncio.sleep(WATCH_AFTER)
        while (await self._receive())["type"] != "http.disconnect":
            pass
        connection.fail(ClientGone())


class Watch:
    """Over one exchange; ended with it."""

    __slots__ = ("_body", "_connection", "_watches", "_watching")

    def __init__(self, body: Body, connection: Connection, watches: "Watches") -> None:
        self._body = body
        self._connection = connection
        self._watches = watches
        self._watching: asyncio.Task[None] | None = None

    def begin(self) -> None:
        self._watching = asyncio.create_task(self._body.watch(self._connection))

    def end(self) -> None:
        self._watches.drop(self)
        if self._watching is not None:
            _ = self._watching.cancel()


class Watches:
    """Begins the watch over exchanges that last. One timer for all of them: a timer or a task for each is dear."""

    def __init__(self) -> None:
        self._young: set[Watch] = set()
        self._older: set[Watch] = set()
        self._timer: asyncio.TimerHandle | None = None

    def over(self, body: Body, connection: Connection) -> Watch:
        watch = Watch(body, connection, self)
        self._young.add(watch)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(WATCH_AFTER, self._turn)
        return watch

    def drop(self, watch: Watch) -> None:
        self._young.discard(watch)
        self._older.discard(watch)

    def _turn(self) -> None:
        """Whoever was there at the last turn has lasted; the others are the older ones of the next."""
        for watch in self._older:
            watch.begin()
        self._older, self._young = self._young, set()
        again = bool(self._older)
        self._timer = (
            asyncio.get_running_loop().call_later(WATCH_AFTER, self._turn) if again else None
        )
