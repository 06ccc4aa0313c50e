"""Request bodies, streamed and limited, and the watch for callers who leave."""

import asyncio
from collections.abc import AsyncGenerator

from starlette.types import Message, Receive, Scope

from gateway.messages import ClientGone, value
from gateway.problems import BadRequestError, PayloadTooLargeError, RequestTimeoutError
from gateway.settings import Settings
from gateway.upstreams import Connection

WATCH_AFTER = 0.05
"""Seconds (up to twice as many) until a caller's connection is watched: most answers are faster."""


def too_large(limit: int) -> PayloadTooLargeError:
    return PayloadTooLargeError("at most {limit} bytes", limit=limit)


def declared_length(scope: Scope) -> int | None:
    """`Content-Length` where it counts: a chunked body has none."""
    text = value(scope["headers"], b"content-length").strip()
    if not text or value(scope["headers"], b"transfer-encoding"):
        return None
    if not (text.isascii() and text.isdigit()):
        raise BadRequestError("Content-Length is no number")
    return int(text)


class Body:
    """The request's body as it comes, and after it the watch for the caller's leaving.

    `length` is the declared one, None for a chunked body or no body.
    """

    def __init__(
        self, scope: Scope, receive: Receive, *, settings: Settings, length: int | None
    ) -> None:
        self.chunked = bool(value(scope["headers"], b"transfer-encoding"))
        self.expected = self.chunked or bool(length)
        self._receive = receive
        self._length = length
        self._limit = settings.max_body_bytes
        self._timeout = settings.body_timeout
        self._rate = settings.body_rate
        self._waited = 0.0
        self._complete = not self.expected
        self._taken = 0

    async def content(self) -> bytes | AsyncGenerator[bytes] | None:
        """What to send on: None, the whole body when it came in one piece, else a stream.

        Most bodies come in one piece, and sending them so is cheaper.
        """
        if not self.expected:
            return None
        first = await self._piece()
        if self._complete:
            return first
        return self._chunks(first)

    async def _chunks(self, piece: bytes) -> AsyncGenerator[bytes]:
        """The body piece by piece."""
        if piece:
            yield piece
        while not self._complete:
            piece = await self._piece()
            if piece:
                yield piece

    async def _piece(self) -> bytes:
        message = await self._next()
        piece: bytes = message.get("body", b"")
        self._taken += len(piece)
        if self._taken > self._limit:
            raise too_large(self._limit)
        self._complete = not message.get("more_body", False)
        if self._complete and not self.chunked and self._taken != self._length:
            # uvicorn reads no body after `Upgrade`, whatever length was declared.
            raise BadRequestError("the body is not as long as its Content-Length says")
        return piece

    async def _next(self) -> Message:
        """The next message of the caller.

        Only the time spent waiting for the caller counts: a service may be slow to take the body.
        """
        clock = asyncio.get_running_loop().time
        begun = clock()
        # A body may be long but not slow: each byte that came buys a little more time.
        left = self._timeout + self._taken / self._rate - self._waited
        try:
            async with asyncio.timeout(min(self._timeout, left)):
                message = await self._receive()
            self._waited += clock() - begun
        except TimeoutError:
            raise RequestTimeoutError("the body stopped coming") from None
        if message["type"] == "http.disconnect":
            raise ClientGone
        return message

    async def watch(self, connection: Connection) -> None:
        """Once the body is in, wait for the caller to leave, then end the exchange."""
        while not self._complete:  # noqa: ASYNC110 - the upload itself sees the caller leave
            await asyncio.sleep(WATCH_AFTER)
        while (await self._receive())["type"] != "http.disconnect":
            pass
        connection.fail(ClientGone())


class Watch:
    """Watches the caller of one exchange, until the exchange ends."""

    __slots__ = ("_body", "_connection", "_watches", "_watching")

    def __init__(self, body: Body, connection: Connection, *, watches: "Watches") -> None:
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
    """Begins to watch the callers of exchanges that last longer than `WATCH_AFTER`.

    One timer serves all exchanges, because a timer or a task for each costs too much.
    """

    def __init__(self) -> None:
        self._new: set[Watch] = set()
        self._older: set[Watch] = set()
        self._timer: asyncio.TimerHandle | None = None

    def over(self, body: Body, connection: Connection) -> Watch:
        """A watch over one exchange; the caller of this method ends it."""
        watch = Watch(body, connection, watches=self)
        self._new.add(watch)
        if self._timer is None:
            self._start_timer()
        return watch

    def drop(self, watch: Watch) -> None:
        self._new.discard(watch)
        self._older.discard(watch)

    def _start_timer(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(WATCH_AFTER, self._tick)

    def _tick(self) -> None:
        """Begin the watches that were there at the last tick; the new ones begin at the next."""
        for watch in self._older:
            watch.begin()
        self._older, self._new = self._new, set()
        self._timer = None
        if self._older:
            self._start_timer()
