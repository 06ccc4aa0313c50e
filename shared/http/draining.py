"""A server that ends without a request that fails."""

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import cast

import uvicorn

CLOSE = (b"connection", b"close")
LINGER_SECONDS = 1.0
"""How long connections that just came are served after the port is closed."""


class Drain:
    """Whether the process is about to end: it is not ready any more, and answers as before."""

    def __init__(self) -> None:
        self.began = False


class DrainingServer(uvicorn.Server):
    """Ends on SIGTERM in three steps, so that no request fails.

    For `seconds` it is not ready, and answers as before: whoever asks `/readyz` now and then sends
    new requests elsewhere. Each answer closes its connection, so that nobody sends a request on one
    that is closed at the same moment. Then the port is closed, and requests in flight are finished.
    SIGINT (Ctrl-C) and a second SIGTERM skip the first step.
    """

    def __init__(self, config: uvicorn.Config, *, drain: Drain, seconds: float) -> None:
        super().__init__(config)
        self._drain = drain
        self._seconds = seconds
        self._end_at = 0.0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig != signal.SIGTERM or self.should_exit:
            super().handle_exit(sig, frame)
        elif self._drain.began or not self._seconds:
            self._drain.began = True
            self.should_exit = True
        else:
            self._drain.began = True
            self._end_at = time.monotonic() + self._seconds

    async def on_tick(self, counter: int) -> bool:
        ended = await super().on_tick(counter)
        if not self._drain.began:
            return ended
        # uvicorn makes this list anew once a second.
        headers = self.server_state.default_headers
        if CLOSE not in headers:
            self.server_state.default_headers = [*headers, CLOSE]
        return ended or time.monotonic() >= self._end_at

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._drain.began and self._seconds:
            await self._close_port(sockets or [])
        await super().shutdown(sockets)

    async def _close_port(self, sockets: Sequence[socket.socket]) -> None:
        """Take no new connection, and answer on those that came up to now.

        The kernel resets connections that nobody took when the port is closed, so all that wait
        are taken first.
        """
        accepted: list[socket.socket] = []
        for listening in sockets:
            with contextlib.suppress(BlockingIOError):
                while True:
                    accepted.append(listening.accept()[0])
        for server in self.servers:
            server.close()
        loop = asyncio.get_running_loop()
        for one in accepted:
            _ = await loop.connect_accepted_socket(self._protocol, one)
        deadline = time.monotonic() + min(LINGER_SECONDS, self._seconds)
        while self.server_state.connections and time.monotonic() < deadline:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.05)

    def _protocol(self) -> asyncio.Protocol:
        """A connection's protocol, made as uvicorn makes it."""
        # The type says nothing of the arguments, which uvicorn gives by name too.
        make = cast("Callable[..., asyncio.Protocol]", self.config.http_protocol_class)
        return make(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )


def serve(server: uvicorn.Server, sockets: list[socket.socket] | None = None) -> None:
    """Serve until a signal ends it."""
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets)
