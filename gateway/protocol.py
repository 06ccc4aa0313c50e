"""uvicorn's HTTP protocol with one system call for an answer: head and body that are ready in one turn leave together."""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Corked:
    """A transport that joins what is written within one turn of the event loop; all else is the transport's own."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._pending: list[bytes] = []
        self._call_soon = asyncio.get_running_loop().call_soon

    def write(self, data: bytes) -> None:
        if not self._pending:
            _ = self._call_soon(self.flush)
        self._pending.append(data)

    def flush(self) -> None:
        if self._pending:
            data = b"".join(self._pending)
            self._pending.clear()
            if not self._transport.is_closing():
                self._transport.write(data)

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class CorkedProtocol(HttpToolsProtocol):
    """For `uvicorn.Config(http=…)`, made by `corked`.

    Whoever does not take what is written is cut after `send_timeout` seconds, and so the exchange that waits to send more. The
    transport tells when it is stuck: that costs those nothing who do read, where a deadline around each `send` would.
    """

    send_timeout = 60.0
    _stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        corked = Corked(cast("asyncio.Transport", transport))
        super().connection_made(cast("asyncio.Transport", corked))

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stuck = self.loop.call_later(self.send_timeout, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unstick()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unstick()

    def _unstick(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None


def corked(send_timeout: float) -> type[CorkedProtocol]:
    """The protocol with this patience: uvicorn makes one for each connection and hands it nothing of ours."""
    return type("CorkedProtocol", (CorkedProtocol,), {"send_timeout": send_timeout})
