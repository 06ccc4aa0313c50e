"""Bodies in both directions: streamed as they come, limited, and cut at once when the caller leaves."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Any

import aiohttp
from starlette.types import Message, Receive, Scope

from gateway.messages import ClientGone, Refusal, value
from gateway.settings import Settings

WATCH_AFTER = 0.05
"""Seconds (up to twice as many) before the caller's connection is watched: most answers are there sooner."""


def too_large(limit: int) -> Refusal:
    return Refusal(413, "payload_too_large", "The body is too large", f"at most {limit} bytes")


class Body:
    """The request's body as it comes, and after it the watch for the caller's leaving."""

    def __init__(self, scope: Scope, receive: Receive, settings: Settings) -> None:
        length = value(scope["headers"], b"content-length")
        self.expected = bool(value(scope["headers"], b"transfer-encoding")) or length not in {"", "0"}
        self.gone = False
        self.refusal: Refusal | None = None
        self._receive = receive
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
        """The body piece by piece; a fault of the caller is kept, because the client that sends them wraps it."""
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
            self.refusal = too_large(self._limit)
            raise self.refusal
        self._complete = not message.get("more_body", False)
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
            self.refusal = Refusal(408, "request_timeout", "Request timeout", "the body stopped coming")
            raise self.refusal from None
        if message["type"] == "http.disconnect":
            self.gone = True
            raise ClientGone
        return message

    def blame(self) -> None:
        """Raise what the caller did, if a failed exchange was its doing: that is no fault of the service."""
        if self.refusal is not None:
            raise self.refusal from None
        if self.gone:
            raise ClientGone from None

    async def watch(self, leave: Callable[[], object]) -> None:
        """Once the body is in, wait for the caller to go, then call `leave`."""
        while not self._complete:  # noqa: ASYNC110 - the upload itself sees the caller leave
            await asyncio.sleep(WATCH_AFTER)
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        _ = leave()


class Watches:
    """Begins the watch over exchanges that last. One timer for all of them: a timer or a task for each is dear."""

    def __init__(self) -> None:
        self._young: set[watched] = set()
        self._older: set[watched] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, exchange: "watched") -> None:
        self._young.add(exchange)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(WATCH_AFTER, self._turn)

    def drop(self, exchange: "watched") -> None:
        self._young.discard(exchange)
        self._older.discard(exchange)

    def _turn(self) -> None:
        """Whoever was there at the last turn has lasted; the others are the older ones of the next."""
        for exchange in self._older:
            exchange.begin()
        self._older, self._young = self._young, set()
        again = bool(self._older)
        self._timer = asyncio.get_running_loop().call_later(WATCH_AFTER, self._turn) if again else None


class watched:  # noqa: N801 - used as a function
    """The upstream's answer; cut at once when the caller goes."""

    __slots__ = ("_answer", "_asking", "_body", "_request", "_watcher", "_watches")

    def __init__(self, request: Any, body: Body, watches: Watches) -> None:
        self._request = request
        self._body = body
        self._watches = watches
        self._answer: aiohttp.ClientResponse | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[Any] | None = None

    async def __aenter__(self) -> aiohttp.ClientResponse:
        self._asking = asyncio.current_task()
        self._watches.add(self)
        try:
            self._answer = answer = await self._request
        except asyncio.CancelledError:
            await self._stop()
            if self._body.gone and self._asking is not None:
                _ = self._asking.uncancel()
                raise ClientGone from None
            raise
        except BaseException:
            await self._stop()
            raise
        return answer

    def begin(self) -> None:
        self._watcher = asyncio.create_task(self._body.watch(self._leave))

    def _leave(self) -> object:
        if self._answer is not None:
            return self._answer.close()
        return self._asking is not None and self._asking.cancel()

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await self._stop()
        if self._answer is not None:
            # A body not read to its end must not go back to the pool.
            self._answer.close() if kind is not None else self._answer.release()
        if self._body.gone and kind is not None:
            raise ClientGone

    async def _stop(self) -> None:
        self._watches.drop(self)
        if self._watcher is not None:
            _ = self._watcher.cancel()
            with suppress(asyncio.CancelledError):
                await self._watcher
